// Limits: each budget as a bar of use against its limit; rates can be changed.
import { html, useState } from "../preact.js";
import { As, Choice, Empty, Problem, exact, number, useLoad } from "../ui.js";
import { get, put } from "../api.js";
import { shared, t, useShared } from "../state.js";

export function Limits() {
  useShared();
  const limits = useLoad(() => get("/limits"), [], 1000);
  const [problem, say] = useState(null);
  const [action, choose] = useState("GetSecretValue");
  const [rate, setRate] = useState("");
  const change = async (q) => {
    try {
      await put("/limits", q);
      say(null);
    } catch (error) {
      say(error);
    }
    limits.again();
  };
  const all = limits.value || [];
  return html`<section><h2>${t("Limits")}</h2>
    <p class="acts">${[
      ["start", t("as at the start")],
      ["documented", t("documented")],
      ["off", t("none")],
    ].map(
      ([name, label]) => html`<button type="button" onClick=${() => change({ all: name })}>${label}</button>`,
    )}
      <form class="inline" onSubmit=${(e) => (e.preventDefault(), change({ action, perSecond: number(rate) }))}>
        <${Choice} label=${t("action")} value=${action} values=${shared.facts ? shared.facts.actions.map((a) => a.action) : []} change=${choose} />
        <label>${t("a second")} <input class="number" value=${rate} placeholder="0 = ∞" onInput=${(e) => setRate(e.target.value)} />
          </label><button type="submit" disabled=${!/^\d+$/.test(rate)}>${t("set")}</button></form></p>
    <${Problem} error=${problem || limits.error} />
    ${limits.value && all.length === 0 && html`<${Empty}>${t("No budget was used yet.")}<//>`}
    ${
      all.length > 0 &&
      html`<table class="rows"><thead><tr><th>${t("action")}</th><th>${t("account")}</th><th>${t("region")}</th>
        <th class="bar">${t("highest use in a second")}</th><th>${t("limit")}</th><th>${t("documented")}</th><th>
        ${t("refused")}</th><th>${t("when")}</th></tr></thead>
      <tbody>${all.map(
        (
          l,
        ) => html`<tr data-row tabindex="0"><td>${l.action}</td><td class="mono">${l.uin}</td><td class="exact">${l.region}</td>
        <td class="bar"><svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${l.highest + " / " + (l.limit || "∞")}>
          <rect class="room" width="100" height="10" />
          <rect class=${l.limit && l.highest >= l.limit ? "full" : "used"} width=${l.limit ? Math.min(100, (100 * l.highest) / l.limit) : 2} height="10" />
          </svg> ${l.highest}</td>
        <td class="n">${l.limit || "∞"}</td><td class="n">${l.documented}</td>
          <td class=${l.refused ? "n bad" : "n"}>${l.refused}</td><td class="exact">${exact(Date.parse(l.highestAt))}</td></tr>`,
      )}</tbody></table>`
    }
    <${As} path="/limits" /></section>`;
}
