// State: export, import with a preview, reset, snapshots, accounts, tasks, instances.
import { html, useState } from "../preact.js";
import { As, Choice, Empty, Problem, Sure, Text, number, useLoad } from "../ui.js";
import { get, post, put, query, remove } from "../api.js";
import { caller, loadClock, loadFacts, t, useShared } from "../state.js";

/** Diff shows what one state has otherwise than another. */
function Diff({ of }) {
  const name = (x) => [x.kind === "secret" ? "" : t(x.kind), x.name || x.uin, x.region].filter(Boolean).join(" ");
  const rows = [
    [t("come"), of.added],
    [t("go"), of.removed],
    [t("change"), of.changed],
  ];
  return html`${rows.map(([label, things]) => html`<p><b>${label}</b> ${things.length}${things.length > 0 && ": "}
    ${things.slice(0, 30).map((x) => html`<bdi class="tag mono">${name(x)}${x.fields && html` <small>${x.fields.join(", ")}</small>`}
      </bdi> `)}${things.length > 30 && "…"}</p>`)}<p class="dim">${t("{n} stay as they are", { n: of.unchanged })}</p>`;
}

const counted = (c) => t("accounts {accounts}, secrets {secrets}, credentials {credentials}, faults {faults}", c);

/** useAct runs what changes the state, and says how it went. */
function useAct(after) {
  const [said, say] = useState({});
  const act = async (run) => {
    try {
      const c = await run();
      say({ done: c && c.secrets !== undefined ? counted(c) : "" });
      await Promise.all([loadFacts(), loadClock()]);
    } catch (error) {
      say({ error });
    }
    after();
  };
  return [html`<${Problem} error=${said.error} />${said.done && html`<p role="status">${said.done}</p>`}`, act];
}

function Whole() {
  const [file, set] = useState(null);
  const [merge, choose] = useState(false);
  const [problem, say] = useState(null);
  const [said, act] = useAct(() => set(null));
  const preview = async (name, text, add) => {
    try {
      const diff = await put("/state" + query({ dryRun: true, merge: add || "" }), text, "application/yaml");
      set({ name, text, diff });
      say(null);
    } catch (error) {
      set(null);
      say(error);
    }
  };
  const read = async (event) => {
    const chosen = event.target.files[0];
    if (chosen) await preview(chosen.name, await chosen.text(), merge);
  };
  const take = () => put("/state" + query({ merge: merge || "" }), file.text, "application/yaml");
  const how = merge ? t("Everything else stays.") : t("It takes the place of everything.");
  return html`<section><h2>${t("Whole state")}</h2><p class="acts">
    <a class="button" href="/_ssmlocal/state" download="ssmlocal.yaml">${t("export")}</a>
      <label class="button">${t("choose a file to import")} <input type="file" accept=".yaml,.yml" onChange=${read} /></label>
      <${Sure} label=${t("reset to the seeds")} question=${t("Everything that was made since is gone.")} act=${() => act(() => post("/reset"))} />
      <a class="button" href="/_ssmlocal/backup" download="ssmlocal.db">${t("backup")}</a></p>
    <${Problem} error=${problem} />${said}
    ${file && html`<div class="preview"><h3>${file.name}</h3>
      <label><input type="checkbox" checked=${merge} onChange=${(e) => (choose(e.target.checked), preview(file.name, file.text, e.target.checked))} />
        ${t("add it to what is there")}</label><${Diff} of=${file.diff} />
      <p class="acts"><${Sure} label=${t("import")} question=${how} act=${() => act(take)} /></p></div>`}
    <${As} command=${"ssmlocal import" + (merge ? " --merge" : "") + " --dry-run FILE"} path="/state?dryRun=true" method="PUT" /></section>`;
}

function Snapshots() {
  const all = useLoad(() => get("/snapshots"), []);
  const [name, type] = useState("");
  const [diff, set] = useState(null);
  const [said, act] = useAct(all.again);
  const path = (n) => "/snapshots/" + encodeURIComponent(n);
  const show = (n) => act(async () => set({ name: n, diff: await get(path(n) + "/diff") }));
  const save = (event) => {
    event.preventDefault();
    act(() => put(path(name)));
    type("");
  };
  return html`<section><h2>${t("Snapshots")}</h2><form class="inline" onSubmit=${save}>
      <label>${t("name")} <input value=${name} spellcheck="false" onInput=${(e) => type(e.target.value)} /></label>
      <button type="submit" disabled=${!name}>${t("save")}</button></form>${said}<${Problem} error=${all.error} />
    ${all.value && all.value.length === 0 && html`<p class="dim">${t("No state is kept under a name.")}</p>`}
    ${all.value && all.value.length > 0 && html`<table class="rows"><tbody>${all.value.map((s) => html`<tr>
        <td class="mono">${s.name}</td><td>${s.savedAt.slice(0, 19).replace("T", " ")}</td>
        <td class="buttons"><${Sure} label=${t("load")} question=${t("It takes the place of everything.")} act=${() => act(() => post(path(s.name) + "/load"))} />
          ${" "}<button type="button" onClick=${() => show(s.name)}>${t("compare")}</button>
          ${" "}<${Sure} label=${t("delete")} act=${() => act(() => remove(path(s.name)))} /></td></tr>`)}</tbody></table>`}
    ${diff && html`<h3>${t("since {name}", { name: diff.name })}</h3><${Diff} of=${diff.diff} />`}
    <${As} command="ssmlocal snapshot list" path="/snapshots" /></section>`;
}

const services = ["normal", "none", "arrears", "released"];

function Account() {
  const uin = caller().uin;
  const data = useLoad(
    async () =>
      (await get("/accounts")).find((a) => a.uin === uin) || {
        uin,
        service: "normal",
        postpaid: false,
        secretLimit: 0,
        kmsKeys: {},
        users: {},
        isolated: [],
      },
    [uin],
  );
  const [typed, type] = useState({});
  const [problem, say] = useState(null);
  if (!data.value) return html`<section><h2>${t("Account")}</h2><${Problem} error=${data.error} /></section>`;
  const v = { ...data.value, ...typed };
  const json = (name) => (typeof v[name] === "string" ? v[name] : JSON.stringify(v[name] || {}));
  const save = async (event) => {
    event.preventDefault();
    try {
      const q = { ...v, secretLimit: number(v.secretLimit || 0) };
      for (const name of ["kmsKeys", "users", "isolated"])
        if (typeof q[name] === "string") q[name] = JSON.parse(q[name]);
      if (!q.order) delete q.order;
      if (!q.isolated) q.isolated = [];
      await put("/accounts", q);
      type({});
      say(null);
      data.again();
    } catch (error) {
      say(error);
    }
  };
  return html`<section><h2>${t("Account")} <small class="mono">${uin}</small></h2><form class="stack" onSubmit=${save}>
    <${Choice} label=${t("service")} value=${v.service} values=${services} change=${(service) => type({ ...typed, service })} />
    <label><input type="checkbox" checked=${v.postpaid} onChange=${(e) => type({ ...typed, postpaid: e.target.checked })} /> ${t("postpaid")}
      </label>
    <label>${t("secrets in a region")} <input class="number" value=${v.secretLimit} onInput=${(e) => type({ ...typed, secretLimit: e.target.value })} />
      </label>
    ${[
      ["kmsKeys", '{"key-1":"disabled"}'],
      ["users", '{"100000000101":{"otherKeys":1}}'],
      ["isolated", '["cdb-1"]'],
    ].map(
      ([name, like]) =>
        html`<label>${name} <input value=${name === "isolated" && typeof v.isolated !== "string" ? JSON.stringify(v.isolated || []) : json(name)} placeholder=${like} spellcheck="false" onInput=${(e) => type({ ...typed, [name]: e.target.value })} />
          </label>`,
    )}
    <p class="acts"><button type="submit" class="main" disabled=${Object.keys(typed).length === 0}>${t("save")}
      </button></p></form><${Problem} error=${problem} /><${As} path="/accounts" /></section>`;
}

function Tasks() {
  const tasks = useLoad(() => get("/tasks"), [], 5000);
  const [pace, setPace] = useState("");
  const [problem, say] = useState(null);
  const change = (q) => put("/tasks", q).then(() => (say(null), tasks.again()), say);
  const v = tasks.value;
  return html`<section><h2>${t("Tasks")}</h2>${
    v &&
    html`<dl class="facts"><dt>${t("pace")}</dt><dd>${v.pace}</dd><dt>${t("will fail")}</dt><dd>${v.failNext}</dd></dl>
    <form class="inline" onSubmit=${(e) => (e.preventDefault(), change({ pace }))}><label>
      ${t("pace")} <input class="number" value=${pace} placeholder="now, 6s, 3polls" onInput=${(e) => setPace(e.target.value)} />
      </label><button type="submit" disabled=${!pace}>${t("set")}</button></form>
    <button type="button" onClick=${() => change({ failNext: v.failNext + 1 })}>${t("let the next one fail")}</button>`
  }<${Problem} error=${problem || tasks.error} /></section>`;
}

function Instances() {
  const all = useLoad(() => get("/instances"), [], 10000);
  const [problem, say] = useState(null);
  const [done, report] = useState("");
  const repair = async (i) => {
    try {
      const r = await post(`/instances/${encodeURIComponent(i.instanceId)}/repair${query({ uin: i.uin })}`);
      report(
        t("made {made}, password set {changed}, failed {failed}", {
          made: r.made.length,
          changed: r.changed.length,
          failed: r.failed.length,
        }),
      );
      say(
        r.failed.length ? new Error(r.failed.map((f) => f.accountName + ": " + f.reason).join("; ")) : null,
      );
    } catch (error) {
      say(error);
    }
    all.again();
  };
  return html`<section class="wide"><h2>${t("Instances")}</h2><${Problem} error=${problem || all.error} />
    ${done && html`<p role="status">${done}</p>`}
    ${all.value && all.value.length === 0 && html`<${Empty}>
      ${t("No instance is bound to a database.")} <code>ssmlocal instance bind ID URL</code><//>`}
    ${(all.value || []).map(
      (
        i,
      ) => html`<h3 class="mono">${i.instanceId} <small>${i.uin} · ${i.url}
        </small> <span class=${i.reachable ? "status Enabled" : "status Failed"}>
        ${i.reachable ? "● " + i.engine + " " + (i.version || "") : "✕ " + i.reason}</span></h3>
      ${i.lastFailure && html`<p class="bad">
        ${i.lastFailure.at.slice(0, 19)} ${i.lastFailure.what} ${i.lastFailure.secretName}: <${Text} of=${i.lastFailure.reason} />
        </p>`}
      ${i.accounts.length > 0 && html`<table class="rows"><tbody>${i.accounts.map((a) => html`<tr><td class="mono">
        ${a.accountName}</td><td>${a.secretName}</td><td>${a.region}</td><td>${a.current ? "SSM_Current" : ""}</td>
        <td class=${a.state === "ok" || a.state === "not checked" ? "" : "bad"}>${t(a.state)}</td></tr>`)}</tbody>
        </table>`}
      <p class="acts"><${Sure} label=${t("repair")} question=${t("The passwords of the secrets are set in the database.")} act=${() => repair(i)} />
        </p>`,
    )}</section>`;
}

export function State() {
  useShared();
  return html`<div class="grid"><${Whole} /><${Account} key=${caller().uin} />
    <${Snapshots} /><${Tasks} /><${Instances} /></div>`;
}
