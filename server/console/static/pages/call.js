// Call: every action with a form, the answer, the wire, and the call as a program.
import { html, useEffect, useRef, useState } from "../preact.js";
import { As, Choice, Copy, Json, Problem, Wire, callCommand, given as notEmpty, hash, number } from "../ui.js";
import { call, post } from "../api.js";
import { options, shared, t, useShared } from "../state.js";

const clients = ["curl", "tccli", "go", "python", "node", "java", "php"];

const documentation = (a) =>
  `https://www.tencentcloud.com/search/${encodeURIComponent("Secrets Manager " + a.action)}`;

export function Call({ rest, q }) {
  useShared();
  const [filter, set] = useState("");
  const facts = shared.facts;
  if (!facts) return null;
  const chosen =
    facts.actions.find((a) => a.action === rest[0]) ||
    facts.actions.find((a) => a.action === "GetSecretValue");
  const shown = facts.actions.filter((a) => a.action.toLowerCase().includes(filter.toLowerCase()));
  return html`<div class="three"><section class="list"><h2>${t("Actions")}</h2>
      <p data-search><label class="unseen" for="search">${t("search")}</label>
        <input id="search" value=${filter} placeholder=${t("search")} onInput=${(e) => set(e.target.value)} /></p>
      <ul class="actions">${shown.map((a) => html`<li>
        <a data-row href=${hash("call/" + a.action)} aria-current=${a === chosen ? "true" : undefined}>${a.action}
        </a>${a.service !== "ssm" && html` <small>${a.service}</small>`}</li>`)}</ul></section>
    <${Form} key=${chosen.action + (q.p || "")} of=${chosen} given=${q.p} /></div>`;
}

/** read makes the parameters out of what was typed: "" is not given. */
function read(of, typed) {
  const parameters = {};
  for (const p of of.parameters) {
    const text = typed[p.name];
    if (text === undefined || text === "") continue;
    if (p.type === "object" || p.list) {
      try {
        parameters[p.name] = JSON.parse(text);
      } catch {
        parameters[p.name] =
          p.type === "object"
            ? text
            : text.split(/\s*,\s*/).map((x) => (p.type === "integer" ? number(x) : x));
      }
    } else if (p.type === "integer") parameters[p.name] = number(text);
    else if (p.type === "boolean") parameters[p.name] = text === "true";
    else parameters[p.name] = text;
  }
  return parameters;
}

function start(of, given) {
  try {
    const values = JSON.parse(given || "{}");
    return Object.fromEntries(
      Object.entries(values).map(([k, v]) => [k, typeof v === "string" ? v : JSON.stringify(v)]),
    );
  } catch {
    return {};
  }
}

function Form({ of, given }) {
  const [typed, type] = useState(start(of, given));
  const [signature, sign] = useState("");
  const [answer, set] = useState(null);
  const [problem, say] = useState(null);
  const parameters = read(of, typed);
  const o = { ...options(), signature, service: of.service };
  const send = async (event) => {
    event.preventDefault();
    say(null);
    try {
      set(await call(of.action, parameters, o));
    } catch (error) {
      say(error);
    }
  };
  const shown = useRef();
  useEffect(() => {
    // On a narrow screen the answer is below the form.
    if ((answer || problem) && shown.current.getBoundingClientRect().top > innerHeight - 160)
      shown.current.scrollIntoView({ block: "start" });
  }, [answer, problem]);
  const wrong =
    answer && answer.code && of.parameters.find((p) => (answer.message || "").includes("`" + p.name + "`"));
  const sorted = [...of.parameters].sort((a, b) => (b.required ? 1 : 0) - (a.required ? 1 : 0));
  return html`<section class="form"><h2>${of.action} <small>
    ${of.service} ${of.version} · ${of.rate} ${t("a second")}</small></h2>
    <form onSubmit=${send}>${sorted.map(
      (
        p,
      ) => html`<div class=${"parameter" + (wrong === p ? " wrong" : "")}><label for=${"p-" + p.name}>
        ${p.name}${p.required && html`<b title=${t("required")}>*</b>`} <small>
        ${p.list ? t("list of") + " " : ""}${p.type}</small></label>
      ${
        p.type === "boolean"
          ? html`<select id=${"p-" + p.name} value=${typed[p.name] || ""} onChange=${(e) => type({ ...typed, [p.name]: e.target.value })}>
            <option value=""></option><option>true</option><option>false</option></select>`
          : p.type === "object" || p.value
            ? html`<textarea id=${"p-" + p.name} rows=${p.value ? 2 : 3} spellcheck="false" placeholder=${p.fields ? JSON.stringify([Object.fromEntries(p.fields.map((f) => [f.name, f.list ? [] : ""]))]).slice(0, 200) : ""} value=${typed[p.name] || ""} onInput=${(e) => type({ ...typed, [p.name]: e.target.value })}>
              </textarea>`
            : html`<input id=${"p-" + p.name} value=${typed[p.name] || ""} spellcheck="false" autocomplete="off" onInput=${(e) => type({ ...typed, [p.name]: e.target.value })} />`
      }</div>`,
    )}
      <p class="acts"><button type="submit" class="main">${t("send")}</button>
        <${Choice} label=${t("signature")} value=${signature} values=${["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]} all="" change=${sign} />
        <a href=${documentation(of)} rel="noreferrer" target="_blank">${t("documentation")}</a></p></form>
    ${of.codes && html`<details><summary>${t("documented codes")} (${of.codes.length})</summary><p>
      ${of.codes.map((c) => html`<a class="code" href=${hash("errors/" + of.action + "/" + c)}>${c}</a> `)}</p>
      </details>`}
    <${As} command=${callCommand(of.action, parameters, o)} path="/call" method="POST" body=${{ action: of.action, parameters, ...notEmpty({ ...o, service: "" }) }} />
      </section>
  <section class="answer" aria-live="polite" ref=${shown}><h2>${t("Answer")}</h2><${Problem} error=${problem} />
    ${
      answer &&
      html`${answer.code ? html`<p class="reached bad">${answer.code}</p><p>${answer.message}
        </p>` : answer.noAnswer ? html`<p class="reached bad">${answer.noAnswer}
        </p>` : html`<p class="reached good">OK</p>`}
      ${answer.reply && html`<${Json} of=${answer.reply} />`}<${Wire} of=${answer.wire} />`
    }
    <${Program} action=${of.action} parameters=${parameters} options=${o} /></section>`;
}

export function Program({ action, parameters, options: o }) {
  const [client, choose] = useState("");
  const [code, set] = useState("");
  const [problem, say] = useState(null);
  const body = JSON.stringify([action, parameters, o.as, o.region, o.language, o.signature]);
  useEffect(() => {
    if (!client || !shared.facts) return;
    const q = { action, parameters, client };
    for (const name of ["as", "region", "language", "service", "signature"]) if (o[name]) q[name] = o[name];
    post("/call/code", q).then((r) => (set(r.code), say(null)), say);
  }, [client, body, !!shared.facts]);
  return html`<h3>${t("Copy as")}</h3><div class="tabs" role="group">
    ${clients.map((c, i) => html`<button type="button" data-copy=${i === 0 || undefined} aria-pressed=${c === client} onClick=${() => choose(c)}>
    ${c}</button>`)}</div>
    <${Problem} error=${problem} />${client && code && html`<${Copy} text=${code} /><pre tabindex="0">${code}</pre>`}`;
}
