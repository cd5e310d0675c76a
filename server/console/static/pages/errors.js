// Errors: a map of action and code, recipes run live, tours.
import { html, useEffect, useMemo, useState } from "../preact.js";
import { As, Copy, Json, Problem, Text, Wire, announce, hash, useLoad } from "../ui.js";
import { get, post } from "../api.js";
import { shared, t, useShared } from "../state.js";

export function Errors({ rest, q }) {
  useShared();
  const recipes = useLoad(() => get("/errors"), []);
  const tours = useLoad(() => get("/tours"), []);
  if (rest[0] === "tour") return html`<${Tour} key=${rest[1]} name=${rest[1]} tours=${tours.value || []} />`;
  const [action, code] = rest[0] === "any" ? ["", rest[1]] : rest;
  const chosen = code && (recipes.value || []).find((r) => (r.action || "") === action && r.code === code);
  return html`<div class=${chosen ? "split errors" : "errors"}><section class="list">
    <h2>${t("Tours")}</h2><ul class="tours">${(tours.value || []).map((x) => html`<li>
      <a data-row href=${hash("errors/tour/" + x.name)}>${x.title[shared.language]}</a> <span class="dim">
      ${x.about[shared.language]}</span></li>`)}</ul>
    <h2>${t("Error map")} <small>${recipes.value && recipes.value.length}</small></h2>
      <${Problem} error=${recipes.error || tours.error} />
    <p data-search class="filters"><label>
      ${t("search")} <input id="search" value=${q.f || ""} onInput=${(e) => location.replace(hash("errors" + (rest.length ? "/" + rest.join("/") : ""), { f: e.target.value }))} />
      </label>
      <span class="legend"><i class="cell natural"></i> ${t("by a call and a state")} <i class="cell byfault">
        </i> ${t("by a fault")}</span></p>
    ${recipes.value && html`<${Grid} recipes=${recipes.value} filter=${(q.f || "").toLowerCase()} chosen=${chosen} q=${q} />`}
      </section>
    ${chosen && html`<${Recipe} key=${action + code} of=${chosen} q=${q} />`}</div>`;
}

function Grid({ recipes, filter, chosen, q }) {
  const shown = useMemo(
    () =>
      recipes.filter(
        (r) =>
          !filter ||
          (r.action || t("any action")).toLowerCase().includes(filter) ||
          r.code.toLowerCase().includes(filter),
      ),
    [recipes, filter],
  );
  const actions = [...new Set(shown.map((r) => r.action || ""))];
  const codes = [...new Set(shown.map((r) => r.code))].sort();
  const cells = new Map(shown.map((r) => [(r.action || "") + " " + r.code, r]));
  if (shown.length === 0) return html`<p class="dim">${t("nothing matches")}</p>`;
  return html`<div class="map" tabindex="0" role="region" aria-label=${t("Error map")}><table><thead><tr><th>
    ${t("action")}</th>${codes.map((c) => html`<th class="column"><span>${c}</span></th>`)}</tr></thead>
    <tbody>${actions.map(
      (a) =>
        html`<tr><th>${a || t("any action")}</th>${codes.map((c) => {
          const r = cells.get(a + " " + c);
          return r
            ? html`<td><a class=${"cell " + (r.kind === "natural" ? "natural" : "byfault") + (r === chosen ? " chosen" : "")} href=${hash("errors/" + (a || "any") + "/" + c, q)} title=${(a || t("any action")) + " · " + c} aria-label=${(a || t("any action")) + " " + c + " " + (r.kind === "natural" ? t("by a call and a state") : t("by a fault"))}>
              </a></td>`
            : html`<td></td>`;
        })}</tr>`,
    )}</tbody></table></div>`;
}

function Recipe({ of, q }) {
  const [run, set] = useState(null);
  const [problem, say] = useState(null);
  const [provoked, provoke] = useState("");
  const body = of.action ? { action: of.action, code: of.code } : { code: of.code };
  const show = async () => {
    say(null);
    set(null);
    try {
      const r = await post("/errors/run", body);
      set(r);
      announce(r.reached);
    } catch (error) {
      say(error);
    }
  };
  const next = async () => {
    try {
      const rule = await post("/faults", {
        ...(of.action && { action: of.action }),
        times: 1,
        error: { code: of.code },
      });
      provoke(rule.id);
    } catch (error) {
      say(error);
    }
  };
  return html`<section class="one"><h2><span class="code error">${of.code}</span> <small>
    ${of.action || t("any action")}</small> <a class="small" href=${hash("errors", q)}>${t("close")}</a></h2>
    <p>${of.why || t("Nothing here causes it by itself: a fault answers it.")}</p>
    <p class="acts"><button type="button" class="main" onClick=${show}>${t("Run")}
      </button> <button type="button" onClick=${next}>${t("Provoke next call")}</button>
      ${provoked && html`<span>${t("The next call gets it.")} <a href="#/faults">${provoked}</a></span>`}</p>
    <${Problem} error=${problem} />
    ${
      run &&
      html`<p class=${"reached " + (run.ok ? "bad" : "")} role="status">${run.reached || t("no answer")}</p>
        <p class="dim">${t("on a throwaway emulator, in {time}", { time: run.took })}</p>
      <p><code>${run.start}</code> <${Copy} text=${run.start} /></p><${Steps} of=${run.steps} />`
    }
    <${As} command=${`ssmlocal errors ${of.action || ""} ${of.code} --run`.replace("  ", " ")} path="/errors/run" method="POST" body=${body} />
      </section>`;
}

function Steps({ of }) {
  return html`<ol class="steps">${of.map((s) => html`<${Step} of=${s} />`)}</ol>`;
}

function Step({ of: s }) {
  return html`<li>${s.text && html`<p class="text">${s.text[shared.language]}</p>`}<p><code>${s.command}
    </code> <${Copy} text=${s.command} /></p>
    ${s.codes && html`<p>${Object.entries(s.codes).map(([c, n]) => html`<span class=${c === "OK" ? "reached good" : "reached bad"}>
      ${n} × ${c}</span> `)}</p>`}
    ${s.call && !s.codes && html`<p class=${s.call.code === "OK" ? "reached good" : "reached bad"}>
      ${s.call.code || s.call.wire.broken || s.call.wire.response.line}</p>${s.call.message && html`<p>
      ${s.call.message}</p>`}${s.call.code === "OK" && html`<${Json} of=${s.call.reply} />`}`}
    ${s.call && html`<${Wire} of=${s.call.wire} />`}
    ${s.control && html`<pre tabindex="0"><${Text} of=${s.control.answer} most=${1500} /></pre>`}
    ${s.wrong && html`<p class="problem">${s.wrong}</p>`}</li>`;
}

/** Tour is played at once, and shown step by step. */
function Tour({ name, tours }) {
  const tour = tours.find((x) => x.name === name);
  const [played, set] = useState(null);
  const [shown, show] = useState(0);
  const [problem, say] = useState(null);
  const play = () => post(`/tours/${encodeURIComponent(name)}/run`).then((r) => (set(r), show(1)), say);
  useEffect(() => {
    if (shown > 1) document.querySelector(".tour .steps > li:last-child")?.scrollIntoView({ block: "start" });
    document.getElementById("next")?.focus({ preventScroll: shown > 1 });
  }, [shown, !!tour]);
  if (!tour) return html`<p class="dim">…</p>`;
  const last = played && shown >= played.steps.length;
  return html`<section class="tour"><h2>${tour.title[shared.language]} <a class="small" href="#/errors">
    ${t("all tours")}</a></h2><p>${tour.about[shared.language]}</p><${Problem} error=${problem} />
    ${!played && html`<p><button type="button" id="next" class="main" onClick=${play}>${t("Play")}</button></p>`}
    ${
      played &&
      html`<ol class="steps">${played.steps.slice(0, shown).map((s) => html`<${Step} of=${s} />`)}</ol>
      <p>${!last ? html`<button type="button" id="next" class="main" onClick=${() => show(shown + 1)}>
        ${t("Next")} ${shown + 1} / ${played.steps.length}</button>` : html`<b role="status">
        ${played.ok ? t("The end. Every step came out as it must.") : t("A step came out otherwise than it must.")}
        </b> <button type="button" id="next" onClick=${play}>${t("Once more")}</button>`}</p>`
    }
    <${As} command=${"ssmlocal tour " + name} path=${"/tours/" + name + "/run"} method="POST" /></section>`;
}
