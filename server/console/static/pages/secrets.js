// Secrets: a list, and beside it the chosen one.
import { html, useEffect, useState } from "../preact.js";
import {
  As,
  Choice,
  Code,
  Copy,
  Empty,
  Field,
  Json,
  Problem,
  Status,
  Sure,
  Text,
  Time,
  go,
  hash,
  useLoad,
  number,
  callCommand,
  given,
  wallTime,
} from "../ui.js";
import { get, query, reply } from "../api.js";
import { caller, options, shared, t, useShared } from "../state.js";

const types = ["custom", "product", "SSH key pair", "API key", "Redis"];
const states = ["Enabled", "Disabled", "PendingDelete", "Creating", "Failed"];
const size = 50;

export function Secrets({ rest, q }) {
  useShared();
  const name = rest[0];
  const page = Number(q.page) || 0;
  const filter = (values) =>
    go("secrets" + (name ? "/" + encodeURIComponent(name) : ""), { ...q, page: "", ...values });
  const parameters = { Offset: page * size, Limit: size, SecretType: Number(q.type) || 0 };
  if (q.name) parameters.SearchSecretName = q.name;
  if (q.state) parameters.State = states.indexOf(q.state) + 1; // 0 is all
  if (q.tag)
    parameters.TagFilters = [
      {
        TagKey: q.tag.split("=")[0],
        TagValue: q.tag.includes("=") ? [q.tag.split("=").slice(1).join("=")] : [],
      },
    ];
  const list = useLoad(
    () => reply("ListSecrets", parameters, options()),
    [JSON.stringify(parameters), shared.as, shared.region, shared.language, !!shared.facts],
  );
  const total = list.value ? list.value.TotalCount : 0;
  useEffect(() => {
    if (total > 0 && page * size >= total) filter({ page: String(Math.ceil(total / size) - 1) });
  }, [page, total]);
  return html`<div class=${name ? "split" : ""}><section class="list"><h2>${t("Secrets")} <small>
    ${list.value && total}</small></h2>
    <p class="filters"><span data-search>
      <${Field} label=${t("SearchSecretName")} value=${q.name || ""} change=${(v) => filter({ name: v })} /></span>
      <${Choice} label="SecretType" value=${q.type || "0"} values=${types.map((label, value) => ({ value: String(value), label: value + " " + label }))} change=${(v) => filter({ type: v })} />
      <${Choice} label="State" value=${q.state || ""} values=${states} all=${t("any")} change=${(v) => filter({ state: v })} />
      <${Field} label="TagFilters" placeholder="key=value" value=${q.tag || ""} change=${(v) => filter({ tag: v })} />
      <button type="button" class="small" onClick=${list.again}>${t("again")}</button></p>
    <${Problem} error=${list.error} />
    ${list.value && total === 0 && html`<${Nothing} filtered=${q.name || q.state || q.tag || q.type} />`}
    ${
      total > 0 &&
      html`<table class="rows"><thead><tr><th>${t("Status")}</th><th>SecretName</th><th class="wideonly">
        ${t("Description")}</th><th>${t("Next event")}</th><th class="wideonly">${t("Created")}</th></tr></thead>
      <tbody>${list.value.SecretMetadatas.map(
        (s) => html`<tr class=${s.SecretName === name ? "chosen" : ""}><td><${Status} of=${s.Status} /></td>
        <td><a data-row href=${hash("secrets/" + encodeURIComponent(s.SecretName), q)}><bdi class="mono cut">
          ${s.SecretName}</bdi></a></td><td class="cut wideonly"><${Text} of=${s.Description} most=${60} /></td>
        <td>${s.DeleteTime ? html`${t("deletion")} <${Time} at=${s.DeleteTime * 1000} />` : s.NextRotationTime ? html`${t("rotation")} <${Time} at=${s.NextRotationTime * 1000} />` : "–"}
          </td>
        <td class="wideonly"><${Time} at=${s.CreateTime * 1000} /></td></tr>`,
      )}</tbody></table>
      <p class="pages"><button type="button" disabled=${page === 0} onClick=${() => filter({ page: String(page - 1) })}>‹</button> ${page * size + 1}–${Math.min(total, (page + 1) * size)} / ${total}
        <button type="button" disabled=${(page + 1) * size >= total} onClick=${() => filter({ page: String(page + 1) })}>›</button>
          </p>`
    }
    <${As} command=${callCommand("ListSecrets", parameters, options())} path="/call" method="POST" body=${{ action: "ListSecrets", parameters, ...given(options()) }} />
      </section>
    ${name && html`<${Secret} key=${name + shared.as + shared.region} name=${name} changed=${list.again} q=${q} />`}
      </div>`;
}

function Nothing({ filtered }) {
  if (filtered) return html`<${Empty}>${t("No secret matches.")}<//>`;
  const ways = [
    "ssmlocal call CreateSecret SecretName=first SecretString=hunter2",
    "ssmlocal import seed.yaml",
    "ssmlocal --seed demo",
  ];
  return html`<${Empty}><p>${t("There is no secret of this type, account and region. Three ways to get some:")}</p>
    ${ways.map((w) => html`<p><code>${w}</code> <${Copy} text=${w} /></p>`)}<//>`;
}

const acts = ["EnableSecret", "DisableSecret", "RotateProductSecret", "DeleteSecret", "RestoreSecret"];
// These need more than a name: their form is on the page Call.
const forms = [
  "PutSecretValue",
  "UpdateSecret",
  "UpdateDescription",
  "UpdateRotationStatus",
  "DeleteSecretVersion",
];

function Secret({ name, changed, q }) {
  const o = options();
  const about = useLoad(async () => {
    const d = await reply("DescribeSecret", { SecretName: name }, o);
    const ids = await reply("ListSecretVersionIds", { SecretName: name }, o).catch((error) => ({
      Versions: [],
      error,
    }));
    const tags = await reply(
      "DescribeResourceTagsByResourceIds",
      {
        ServiceType: "ssm",
        ResourcePrefix: "secret",
        ResourceRegion: o.region,
        ResourceIds: [`creatorUin/${caller().uin}/${name}`],
      },
      o,
    ).catch(() => ({ Tags: [] }));
    const history =
      d.SecretType === 1
        ? await reply("DescribeRotationHistory", { SecretName: name }, o).catch(() => null)
        : null;
    return { d, ids, tags: tags.Tags || [], history };
  }, [name]);
  const [problem, say] = useState(null);
  const [days, setDays] = useState("7");
  const act = async (action, parameters = {}) => {
    try {
      await reply(action, { SecretName: name, ...parameters }, o);
      say(null);
    } catch (error) {
      say(error);
    }
    about.again();
    changed();
  };
  if (about.error)
    return html`<section class="one"><h2><bdi>${name}</bdi></h2><${Problem} error=${about.error} /></section>`;
  if (!about.value) return html`<section class="one"></section>`;
  const { d, ids, tags, history } = about.value;
  const cells =
    (shared.facts && shared.facts.lifecycle[`${d.SecretType} (${types[d.SecretType]})`]?.[d.Status]) || [];
  return html`<section class="one"><h2><bdi class="cut">${d.SecretName}
    </bdi> <${Status} of=${d.Status} /> <a class="small" href=${hash("secrets", q)}>${t("close")}</a></h2>
    <p class="acts">${acts.map((a) => {
      const code = (cells.find((c) => c.action === a) || {}).code;
      if (code)
        return html`<button type="button" disabled title=${code}>${a} <small>${code}</small></button>`;
      if (a === "DeleteSecret")
        return html`<${Sure} label=${a} question=${html`<label>RecoveryWindowInDays <input class="number" value=${days} onInput=${(e) => setDays(e.target.value)} />
          </label>`} act=${() => act(a, { RecoveryWindowInDays: number(days) })} />`;
      return html`<button type="button" onClick=${() => act(a)}>${a}</button>`;
    })}
    ${forms.map((a) => {
      const code = (cells.find((c) => c.action === a) || {}).code;
      return code
        ? html`<button type="button" disabled title=${code}>${a} <small>${code}</small></button>`
        : html`<a class="button" href=${hash("call/" + a, { p: JSON.stringify({ SecretName: name }) })}>${a} …</a>`;
    })}</p><${Problem} error=${problem} />
    <dl class="facts"><dt>${t("Description")}</dt><dd><${Text} of=${d.Description} /></dd><dt>SecretType</dt><dd>
      ${d.SecretType} ${types[d.SecretType]}</dd>
      <dt>${t("Created")}</dt><dd><${Time} at=${d.CreateTime * 1000} /></dd>
      ${d.DeleteTime > 0 && html`<dt>${t("deletion")}</dt><dd><${Time} at=${d.DeleteTime * 1000} /></dd>`}
      <dt>KmsKeyId</dt><dd class="mono">${d.KmsKeyId || "–"}</dd>${d.ResourceID && html`<dt>ResourceID</dt>
        <dd class="mono">${d.ResourceID}</dd>`}
      <dt>${t("Tags")}</dt><dd>${tags.length ? tags.map((x) => html`<span class="tag">
        <${Text} of=${x.TagKey + "=" + x.TagValue} most=${80} /></span>`) : "–"}</dd></dl>
    <h3>${t("Versions")}</h3><${Problem} error=${ids.error} />
    ${d.SecretType === 2 ? html`<p class="dim">GetSSHKeyPairValue</p>` : html`<table class="rows"><tbody>
      ${ids.Versions.map((v) => html`<${Version} key=${v.VersionId} name=${name} of=${v} />`)}</tbody></table>`}
    ${d.SecretType === 1 && html`<${Rotation} d=${d} history=${history} />`}
    <${Calls} name=${name} /><${Seed} name=${name} /></section>`;
}

/** Version covers its value until it is asked for, which is a real call. Leaving the page covers it again. */
function Version({ name, of }) {
  const [value, set] = useState(null);
  const [problem, say] = useState(null);
  const read = async () => {
    const v = await reply("GetSecretValue", { SecretName: name, VersionId: of.VersionId }, options());
    return v.SecretString || v.SecretBinary;
  };
  const uncover = () => read().then(set, say);
  useEffect(() => () => set(null), []);
  const covered = value === null;
  return html`<tr><td class="mono breaks">${of.VersionId}</td><td><${Time} at=${of.CreateTime * 1000} /></td>
      <td>${covered && "••••••"}</td>
      <td class="buttons"><${Copy} text=${read} /> <button type="button" class="small" onClick=${() => (covered ? uncover() : set(null))}>
        ${covered ? t("show") : t("cover")}</button></td></tr>
    ${(!covered || problem) && html`<tr><td class="value" colspan="4">
      ${!covered && html`<${Text} of=${value} most=${400} />`}<${Problem} error=${problem} /></td></tr>`}`;
}

function Rotation({ d, history }) {
  const live = useLoad(
    async () =>
      (await get("/instances" + query({ uin: caller().uin }))).find((i) => i.instanceId === d.ResourceID),
    [d.ResourceID],
  );
  const states = Object.fromEntries(
    ((live.value && live.value.accounts) || []).map((a) => [a.accountName, a.state]),
  );
  return html`<h3>${t("Rotation")}</h3><dl class="facts">
      <dt>${t("Policy")}</dt><dd>${d.RotationStatus ? t("every {n} days", { n: d.RotationFrequency }) : t("off")}</dd>
      <dt>${t("Next")}</dt><dd>
        ${d.NextRotationTime ? html`<${Time} at=${Date.parse(d.NextRotationTime.replace(" ", "T") + "+08:00")} />` : "–"}
        </dd>
      <dt>${t("Instance")}</dt><dd>
        ${live.value ? html`${live.value.url} ${live.value.reachable ? live.value.version : html`<span class="bad">
        ${live.value.reason}</span>`}` : t("not bound to a database")}</dd></dl>
    ${
      history &&
      html`<table class="rows"><thead><tr><th>AccountName</th><th>Version</th><th>RotatedTime</th><th>
        ${t("in the database")}</th></tr></thead>
      <tbody>${history.AccountInfoList.map((a) => html`<tr><td class="mono breaks">${a.AccountName}</td><td class="mono breaks">
        ${a.Version}</td><td>${a.RotatedTime}</td><td>${states[a.AccountName] || "–"}</td></tr>`)}</tbody></table>
    <p class="dim">${history.VersionIDs.length ? history.VersionIDs.join(" · ") : t("no earlier value")}</p>`
    }`;
}

function Calls({ name }) {
  const calls = useLoad(() => get("/journal" + query({ secretName: name, limit: 10 })), [name], 3000);
  return html`<h3>${t("Calls")} <a class="small" href=${hash("journal", { secretName: name })}>${t("all")}</a></h3>
    <ul class="happened">${(calls.value || [])
      .slice()
      .reverse()
      .map(
        (c) =>
          html`<li><a href=${hash("journal", { open: c.number, secretName: name })}>
            ${wallTime(c.time)} ${c.action}</a> <${Code} of=${c.code} fault=${c.fault} /></li>`,
      )}</ul>`;
}

/** Seed shows the part of an export that makes this secret. */
function Seed({ name }) {
  const [text, set] = useState("");
  const load = async (event) => {
    if (!event.target.open || text) return;
    const lines = (await get("/state" + query({ uin: caller().uin }))).split("\n");
    const begin = lines.findIndex(
      (l) => l.trim() === "- secretName: " + name || l.trim() === `- secretName: "${name}"`,
    );
    let end = begin + 1;
    const indent = lines[begin] ? lines[begin].search(/\S/) : 0;
    while (end < lines.length && (lines[end] === "" || lines[end].search(/\S/) > indent)) end++;
    set(
      lines
        .slice(begin, end)
        .map((l) => l.slice(indent))
        .join("\n"),
    );
  };
  return html`<details onToggle=${load}><summary>${t("As seed")} <small>${t("with its values")}</small></summary>
    ${text && html`<${Copy} text=${text} /><${Json} of=${text} />`}</details>`;
}
