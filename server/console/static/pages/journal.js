// Journal: the calls, live; new ones wait while somebody reads.
import { html, useEffect, useRef, useState } from "../preact.js";
import { As, Code, Empty, Field, Json, Problem, Sure, Text, go, hash, wallTime } from "../ui.js";
import { get, query, remove } from "../api.js";
import { change, shared, t, useShared } from "../state.js";
import { Program } from "./call.js";

const filters = ["action", "secretName", "code", "secretId", "uin", "region"];
const most = 500;

export function Journal({ q }) {
  useShared();
  const filter = Object.fromEntries(filters.filter((f) => q[f]).map((f) => [f, q[f]]));
  const [calls, set] = useState([]);
  const [waiting, wait] = useState([]);
  const [paused, pause] = useState(false);
  const [problem, say] = useState(null);
  const still = useRef(false);
  still.current = paused || !!q.open;
  useEffect(() => {
    let open = true;
    let fresh = [];
    // What was called before comes each time that the stream begins: after a
    // restart of the emulator the calls are numbered from 1 again.
    const load = () => {
      fresh = [];
      wait([]);
      get("/journal" + query({ ...filter, limit: most })).then(
        (all) => {
          if (!open) return;
          const seen = new Set(all.map((c) => c.number));
          set([...all, ...fresh.filter((c) => !seen.has(c.number))].reverse());
          say(null);
        },
        (error) => open && (set([]), say(error)),
      );
    };
    const source = new EventSource("/_ssmlocal/journal/stream" + query(filter));
    source.onmessage = (event) => {
      const c = JSON.parse(event.data);
      fresh.push(c);
      if (still.current) wait((old) => [c, ...old].slice(0, most));
      else set((old) => (old.some((o) => o.number === c.number) ? old : [c, ...old].slice(0, most)));
    };
    source.onopen = load;
    source.onerror = () => source.readyState === EventSource.CLOSED && load(); // it says why
    return () => ((open = false), source.close());
  }, [JSON.stringify(filter)]);
  const show = () => {
    set([...waiting, ...calls].slice(0, most));
    wait([]);
  };
  const chosen = q.open && [...waiting, ...calls].find((c) => String(c.number) === q.open);
  const change = (name) => (value) => go("journal", { ...q, open: "", [name]: value });
  return html`<div class=${chosen ? "split" : ""}><section class="list"><h2>${t("Journal")} <small>${calls.length}
    </small></h2>
    <p class="filters">${filters.map((f, i) => html`<span data-search=${i === 1 ? "" : undefined}>
      <${Field} label=${f} value=${q[f] || ""} change=${change(f)} placeholder=${f === "code" ? "OK" : f === "secretName" ? "app-*" : ""} />
      </span>`)}
      <button type="button" data-pause aria-pressed=${paused} onClick=${() => (paused && show(), pause(!paused))}>
        ${paused ? t("go on") : t("pause")}</button>
      ${waiting.length > 0 && html`<button type="button" class="main" onClick=${show}>
        ${t("{n} new", { n: waiting.length })}</button>`}
      <${Sure} label=${t("forget all")} act=${() => remove("/journal").then(() => (set([]), wait([])), say)} /></p>
    <${Problem} error=${problem} />
    ${calls.length === 0 && !problem && html`<${Empty}>
      ${Object.keys(filter).length ? t("No call matches.") : html`${t("No call yet.")} <a href="#/overview">
      ${t("How to point a client here")}</a>`}<//>`}
    ${
      calls.length > 0 &&
      html`<table class="rows"><thead><tr><th>${t("time")}</th><th>${t("action")}</th><th>SecretName</th>
      <th class="wideonly">${t("account")}</th><th>${t("code")}</th><th class="wideonly">${t("duration")}</th>
      <th class="wideonly">${t("client")}</th></tr></thead>
      <tbody>${calls.map(
        (
          c,
        ) => html`<tr key=${c.number} class=${String(c.number) === q.open ? "chosen" : ""}><td class="mono">
          <a data-row href=${hash("journal", { ...q, open: c.number })}>${wallTime(c.time)}${c.time.slice(19, 23)}</a></td><td>
          ${c.action || "–"}</td><td><bdi class="mono cut">${c.secretName}</bdi></td><td class="mono wideonly">
          ${c.uin || "–"}</td>
        <td><${Code} of=${c.code} fault=${c.fault} />${c.mismatch && html` <span title=${c.mismatch}>✎</span>`}</td>
          <td class="n wideonly">${c.duration}</td><td class="cut wideonly">${c.client}</td></tr>`,
      )}</tbody></table>`
    }
    <${As} command=${`curl -s ${location.origin}/_ssmlocal/journal/stream`} path=${"/journal" + query(filter)} />
      </section>
    ${chosen && html`<${One} key=${chosen.number} of=${chosen} q=${q} />`}</div>`;
}

/** Mismatch says which part of a request differs from what was signed, and how. */
function Mismatch({ of }) {
  const [part, ...how] = of.split(/: |, which /);
  return html`<h3>✎ ${t("The signature is wrong")}</h3><dl class="facts"><dt>${t("differs")}</dt><dd><b>${part}</b></dd>
    ${how.length > 0 && html`<dt>${t("how")}</dt><dd><${Text} of=${how.join(": ")} most=${4000} /></dd>`}</dl>`;
}

/** same makes the caller and the region of a call those of this page. */
function same(c) {
  const known = shared.facts?.callers.some((k) => k.secretId === c.secretId);
  change({ ...(known && { as: c.secretId }), ...(c.region && { region: c.region }) }, true);
}

function One({ of: c, q }) {
  const parameters = c.parameters || {};
  const replay = Object.fromEntries(Object.entries(parameters).filter(([, v]) => v !== "***"));
  return html`<section class="one"><h2>
    ${c.action || "–"} <${Code} of=${c.code} fault=${c.fault} /> <a class="small" href=${hash("journal", { ...q, open: "" })}>
    ${t("close")}</a></h2>
    ${c.mismatch && html`<${Mismatch} of=${c.mismatch} />`}
    <dl class="facts">${[
      ["time", c.time],
      ["SecretId", c.secretId],
      [t("account"), c.uin],
      [t("region"), c.region],
      ["SecretName", c.secretName],
      [t("duration"), c.duration],
      [t("client"), c.client],
      [t("fault"), c.fault],
      ["RequestId", c.requestId],
    ]
      .filter(([, v]) => v)
      .map(([k, v]) => html`<dt>${k}</dt><dd class="mono"><${Text} of=${v} /></dd>`)}</dl>
    <h3>${t("Parameters")} <small>${t("without values")}</small></h3>
      ${c.parameters ? html`<${Json} of=${c.parameters} />` : html`<p class="dim">${t("not kept")}</p>`}
    ${
      c.action &&
      html`<p><a href=${hash("call/" + c.action, { p: JSON.stringify(replay) })} onClick=${() => same(c)}>
      ${t("replay in Call")}</a>
        ${c.code !== "OK" && html` · <a href=${hash("errors/" + c.action + "/" + c.code)}>${t("recipe")}</a>`}</p>
    <${Program} action=${c.action} parameters=${replay} options=${{ as: c.secretId, region: c.region }} />`
    }</section>`;
}
