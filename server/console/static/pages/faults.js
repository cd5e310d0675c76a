// Faults: rules that make calls fail, with what each has done, and a form for every effect.
import { html, useState } from "../preact.js";
import { As, Choice, Empty, Problem, Sure, Text, number, useLoad } from "../ui.js";
import { get, post, remove } from "../api.js";
import { shared, t, useShared } from "../state.js";

const effects = ["error", "throttle", "delay", "status", "drop", "truncate", "script"];

export function Faults() {
  useShared();
  const rules = useLoad(() => get("/faults"), [], 1000);
  const [problem, say] = useState(null);
  const drop = (id) => remove("/faults" + (id ? "/" + encodeURIComponent(id) : "")).then(rules.again, say);
  const all = rules.value || [];
  return html`<div class="split"><section class="list"><h2>${t("Faults")} <small>${all.length}</small></h2>
    <${Problem} error=${problem || rules.error} />
    ${rules.value && all.length === 0 && html`<${Empty}>${t("No rule: every call is served.")}<//>`}
    ${
      all.length > 0 &&
      html`<table class="rows"><thead><tr><th>id</th><th>${t("which calls")}</th><th>${t("effect")}</th><th>
        ${t("seen")}</th><th>${t("hits")}</th><th>${t("left")}</th><th></th></tr></thead>
      <tbody>${all.map(
        (
          r,
        ) => html`<tr data-row tabindex="0"><td class="mono">${r.id}</td><td>
          <${Text} of=${matches(r)} most=${120} /></td><td><${Text} of=${effect(r)} most=${160} /></td>
          <td class="n">${r.seen}</td><td class="n">${r.hits}</td><td class="n">${r.left ?? "∞"}</td>
        <td><button type="button" class="small" onClick=${() => drop(r.id)}>${t("remove")}</button></td></tr>`,
      )}</tbody></table>
      <p><${Sure} label=${t("remove all")} act=${() => drop("")} /></p>`
    }
    <${As} command="ssmlocal fault list" path="/faults" /></section>
    <${Add} added=${rules.again} /></div>`;
}

const matches = (r) =>
  ["action", "secretName", "secretId", "uin", "region"]
    .filter((k) => r[k])
    .map((k) => k + " " + r[k])
    .join(", ") || t("any call");
const effect = (r) => {
  const parts = [];
  for (const name of ["error", "throttle", "delay", "status", "drop", "truncate", "script"])
    if (r[name])
      parts.push(
        name +
          " " +
          (typeof r[name] === "object" ? JSON.stringify(r[name]) : r[name] === true ? "" : r[name]),
      );
  for (const name of ["times", "after", "every", "probability"])
    if (r[name]) parts.push(name + " " + r[name]);
  return parts.join(", ");
};

function Add({ added }) {
  const [v, set] = useState({ effect: "error", code: "InternalError", strict: true });
  const [problem, say] = useState(null);
  const facts = shared.facts;
  const put = (name) => (value) => set({ ...v, [name]: value });
  const input = (name, label, placeholder) =>
    html`<label>${label} <input value=${v[name] || ""} placeholder=${placeholder} spellcheck="false" onInput=${(e) => put(name)(e.target.value)} />
      </label>`;
  const rule = {};
  for (const name of ["id", "action", "secretName", "secretId", "region"]) if (v[name]) rule[name] = v[name];
  for (const name of ["uin", "times", "after", "every", "probability"])
    if (v[name]) rule[name] = number(v[name]);
  if (v.effect === "error") rule.error = { code: v.code, ...(v.message && { message: v.message }) };
  else if (v.effect === "delay") rule.delay = v.delay || "3s";
  else if (v.effect === "status") rule.status = number(v.status || 502);
  else if (v.effect === "script") {
    try {
      rule.script = JSON.parse(v.script || '[{"error":{"code":"InternalError"}},{}]');
    } catch {
      rule.script = v.script;
    }
  } else rule[v.effect] = true;
  const path = "/faults" + (v.strict ? "" : "?strict=false");
  const add = async (event) => {
    event.preventDefault();
    try {
      await post(path, rule);
      say(null);
      added();
    } catch (error) {
      say(error);
    }
  };
  const actions = facts ? facts.actions.map((a) => a.action) : [];
  const chosen = facts && facts.actions.find((a) => a.action === v.action);
  return html`<section class="one"><h2>${t("Add a rule")}</h2><form class="stack" onSubmit=${add}>
      <${Choice} label=${t("action")} value=${v.action || ""} values=${actions} all=${t("any")} change=${put("action")} />
      <${Choice} label=${t("effect")} value=${v.effect} values=${effects} change=${put("effect")} />
      ${v.effect === "error" && html`<label>
        ${t("code")} <input list="codes" value=${v.code} onInput=${(e) => put("code")(e.target.value)} /></label>
        <datalist id="codes">${((chosen && chosen.codes) || []).map((c) => html`<option value=${c}></option>`)}
        </datalist>${input("message", t("message"))}`}
      ${v.effect === "delay" && input("delay", t("how long"), "3s, 500ms-2s")}
      ${v.effect === "status" && input("status", "HTTP", "502")}
      ${v.effect === "script" && html`<label>
        ${t("script")} <textarea rows="4" spellcheck="false" value=${v.script || ""} placeholder='[{"error":{"code":"InternalError"}},{"delay":"3s"},{}]' onInput=${(e) => put("script")(e.target.value)}>
        </textarea></label>`}
      ${input("secretName", "SecretName", "app-*")}${input("secretId", "SecretId")}${input("region", t("region"))}${input("uin", "Uin")}
      ${v.effect !== "script" && input("times", "times", "∞")}${input("after", "after", "0")}${input("every", "every", "1")}${input("probability", "probability", "1")}${input("id", "id")}
      <label><input type="checkbox" checked=${v.strict} onChange=${(e) => put("strict")(e.target.checked)} /> ${t("only codes that are documented for the action")}
        </label>
      <p class="acts"><button type="submit" class="main">${t("add")}</button></p></form>
        <${Problem} error=${problem} /><${As} path=${path} method="POST" body=${rule} /></section>`;
}
