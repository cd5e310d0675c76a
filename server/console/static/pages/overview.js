// Overview: how to connect, what becomes due, what is called.
import { html, useEffect, useRef, useState } from "../preact.js";
import { Code, Copy, Empty, Problem, Sure, Time, ago, announce, exact, hash, useLoad, wallTime } from "../ui.js";
import { get, post, put } from "../api.js";
import { loadClock, now, options, shared, t, useShared } from "../state.js";

const clients = ["go", "python", "node", "java", "php", "tccli", "curl", "terraform"];

function Connect() {
  const [client, choose] = useState("python");
  const code = useLoad(async () => {
    const { as, region } = options();
    return (await post("/call/code", { action: "ListSecrets", client, parameters: {}, as, region })).code;
  }, [client, shared.as, shared.region, !!shared.facts]);
  return html`<section><h2>${t("Connect")}</h2>
    <div class="tabs" role="group" aria-label=${t("client")}>
      ${clients.map((c) => html`<button type="button" aria-pressed=${c === client} onClick=${() => choose(c)}>${c}
      </button>`)}
      <span class="right">${code.value && html`<${Copy} text=${code.value} />`}</span></div>
    <${Problem} error=${code.error} /><pre class="connect" tabindex="0">${code.value}</pre></section>`;
}

/** Plot draws counts of the last minute. */
function Plot({ counts, label, error }) {
  const most = Math.max(1, ...counts);
  return html`<figure class=${error ? "plot error" : "plot"}><figcaption>${label} <b>
    ${counts[counts.length - 2] || 0}</b> ${t("a second")}</figcaption>
    <svg viewBox="0 0 120 24" role="img" aria-label=${label}>
      ${counts.map((n, i) => html`<rect x=${i * 2} y=${24 - (22 * n) / most} width="1.6" height=${(22 * n) / most} />`)}
      </svg></figure>`;
}

/** useCalls counts the calls of each second as they come. */
function useCalls() {
  const [, again] = useState(0);
  const counts = useRef({ calls: Array(60).fill(0), errors: Array(60).fill(0) });
  useEffect(() => {
    const source = new EventSource("/_ssmlocal/journal/stream");
    source.onmessage = (event) => {
      counts.current.calls[59]++;
      if (JSON.parse(event.data).code !== "OK") counts.current.errors[59]++;
    };
    const timer = setInterval(() => {
      for (const name of ["calls", "errors"]) counts.current[name] = [...counts.current[name].slice(1), 0];
      if (!document.hidden) again((n) => n + 1);
    }, 1000);
    return () => (source.close(), clearInterval(timer));
  }, []);
  return counts.current;
}

function Now() {
  const { calls, errors } = useCalls();
  const about = useLoad(
    async () => {
      const [limits, leaks, aside, instances] = await Promise.all([
        get("/limits"),
        get("/leaks"),
        get("/setaside"),
        get("/instances"),
      ]);
      return { limits, leaks, aside, instances };
    },
    [],
    5000,
  );
  const v = about.value;
  const used =
    v && v.limits.filter((l) => l.limit).sort((a, b) => b.highest / b.limit - a.highest / a.limit)[0];
  return html`<section><h2>${t("Now")}</h2>
    <${Plot} counts=${calls} label=${t("calls")} /><${Plot} counts=${errors} label=${t("errors")} error />
    ${
      v &&
      html`<dl class="facts">
      <dt>${t("most used budget")}</dt><dd>${used ? html`<a href="#/limits">${used.action}
        </a> ${t("{n} of {limit} a second", { n: used.highest, limit: used.limit })}` : t("none yet")}</dd>
      <dt>${t("leaks")}</dt><dd class=${v.leaks.total ? "bad" : ""}>${v.leaks.total}</dd>
      <dt>${t("set aside")}</dt><dd class=${v.aside.length ? "bad" : ""}>${v.aside.length}</dd>
      <dt>${t("instances")}</dt><dd>
        ${v.instances.length === 0 ? t("none bound") : v.instances.map((i) => html`<a href="#/state">${i.instanceId}
        </a> <span class=${i.reachable ? "status Enabled" : "status Failed"}>${i.reachable ? "●" : "✕"} ${i.engine}
        </span> `)}</dd>
    </dl>`
    }<${Problem} error=${about.error} /></section>`;
}

const kinds = { deletion: "PendingDelete", rotation: "Enabled" };

/** group joins what stands too close to be told apart. */
function group(due, from, to) {
  const groups = [];
  for (const d of due) {
    const at = Date.parse(d.at);
    const x = 20 + Math.min(955, (930 * (at - from)) / Math.max(1, to - from)); // what is later stands at the end
    const last = groups[groups.length - 1];
    if (last && x - last.x < 34) last.all.push(d);
    else groups.push({ x, at, all: [d] });
  }
  return groups;
}

/** describe says what is due at one place of the timeline. */
function describe(all) {
  if (all.length === 1) return `${t(all[0].what)}: ${all[0].secretName}`;
  const counts = {};
  for (const d of all) counts[d.what] = (counts[d.what] || 0) + 1;
  return Object.entries(counts)
    .map(([what, n]) => `${n} × ${t(what)}`)
    .join(", ");
}

function Mark({ of, chosen, choose }) {
  const n = of.all.length;
  const state = kinds[of.all[0].what] || "Creating";
  const name = `${describe(of.all)} · ${exact(of.at)}, ${ago(of.at - now())}`;
  return html`<g class=${`mark ${state}${chosen ? " chosen" : ""}`} tabindex="0" role="button" data-row aria-label=${name}
      onClick=${choose} onFocus=${choose} onKeyDown=${(e) => e.key === "Enter" && choose()}>
    <circle cx=${of.x} cy="30" r=${n > 1 ? 9 : 6} />
    ${n > 1 && html`<text class="count" aria-hidden="true" x=${of.x} y="33.5">${n > 99 ? "99+" : n}</text>`}</g>`;
}

/** Caption is what stands under a mark; its accessible name says it already. */
function Caption({ of }) {
  const end = of.x > 850;
  const text = (y, words) =>
    html`<text aria-hidden="true" x=${end ? 985 : of.x} y=${y} text-anchor=${end ? "end" : "start"}>${words}</text>`;
  return html`${text(56, exact(of.at).slice(0, 10))}${text(72, describe(of.all).slice(0, 22))}`;
}

function Timeline({ due, total, advance }) {
  const [chosen, choose] = useState(null);
  if (due.length === 0)
    return html`<${Empty}>${t("Nothing becomes due: no rotation, no scheduled deletion, no task.")}<//>`;
  const from = now();
  // The scale fits nine tenths of what is due: one thing in the year 9999 doesn't squeeze the rest.
  const times = due.map((d) => Date.parse(d.at));
  const to = Math.max(times[Math.ceil((times.length - 1) * 0.9)], from + 6e4) + (times[0] - from) * 0.05;
  const groups = group(due, Math.min(from, times[0]), to);
  return html`<div class="timeline"><svg viewBox="0 0 1000 92" role="group" aria-label=${t("What becomes due")}>
      <line x1="20" y1="30" x2="985" y2="30" /><path d="M985 25l9 5-9 5z" /><text x="20" y="14">${t("now")}</text>
      ${groups.map((g, i) => html`<${Mark} of=${g} chosen=${chosen === i} choose=${() => choose(i)} />`)}
      ${groups.map((g, i) => (i === 0 || g.x - groups[i - 1].x > 110) && html`<${Caption} of=${g} />`)}</svg>
    ${
      chosen !== null &&
      groups[chosen] &&
      html`<p class="chosen"><b>${describe(groups[chosen].all)}</b> · <${Time} at=${groups[chosen].at} />
      <${Sure} label=${t("advance to here")} question=${t("{n} things happen on the way.", { n: due.filter((d) => Date.parse(d.at) <= groups[chosen].at).length })} act=${() => advance({ to: new Date(groups[chosen].at).toISOString() })} />
      ${groups[chosen].all.slice(0, 8).map((d) => html` <a href=${hash("secrets/" + encodeURIComponent(d.secretName))}>
        ${d.secretName}</a>`)}</p>`
    }
    ${total > due.length && html`<p class="dim">${t("the first {n} of {total}", { n: due.length, total })}</p>`}</div>`;
}

function Due() {
  useShared();
  const due = useLoad(() => get("/clock/due?limit=500"), [], 5000);
  const [said, say] = useState({});
  const move = async (run) => {
    say({});
    try {
      const r = await run();
      const text = t("happened: {n}", { n: (r.happened || []).length + (r.omitted || 0) });
      say({ text, happened: r.happened || [] });
      announce(text);
    } catch (error) {
      say({ error });
    }
    await loadClock();
    due.again();
  };
  const advance = (q) => move(() => post("/clock/advance", q));
  const frozen = shared.clock && shared.clock.mode === "frozen";
  const first = due.value && due.value.due[0];
  return html`<section class="wide"><h2>${t("What becomes due")} <small>${t("virtual time")}</small></h2>
    <p class="acts">
      <button type="button" disabled=${!first} onClick=${() => advance({ to: first.at })}>
        ${t("advance to the next")}</button>
      <button type="button" onClick=${() => advance({ by: "1h" })}>+1 h</button>
      <button type="button" onClick=${() => advance({ by: "24h" })}>+1 ${t("d")}</button>
      <button type="button" onClick=${() => advance({ by: "720h" })}>+30 ${t("d")}</button>
      <button type="button" onClick=${() => move(() => put("/clock", { mode: frozen ? "running" : "frozen" }))}>
        ${frozen ? t("let it run") : t("freeze")}</button></p>
    <${Problem} error=${due.error || said.error} />
    ${due.value && html`<${Timeline} ...${due.value} advance=${advance} />`}
    ${said.text && html`<details open=${said.happened.length < 20}><summary>${said.text}</summary>
      <ul class="happened">${said.happened.slice(0, 200).map((e) => html`<li>
      ${exact(Date.parse(e.at))} ${t(e.what)} <a href=${hash("secrets/" + encodeURIComponent(e.secretName))}>
      ${e.secretName}</a> ${e.reason && html`<span class="bad">${e.reason}</span>`}</li>`)}</ul></details>`}</section>`;
}

function LastErrors() {
  const calls = useLoad(
    async () =>
      (await get("/journal?limit=300"))
        .filter((c) => c.code !== "OK")
        .slice(-5)
        .reverse(),
    [],
    3000,
  );
  return html`<section class="wide"><h2>${t("Last errors")}</h2>
    ${calls.value && calls.value.length === 0 && html`<p class="dim">${t("none")}</p>`}
    <ul class="happened">${(calls.value || []).map((c) => html`<li><a href=${hash("journal", { open: c.number })}>
      ${wallTime(c.time)} ${c.action || "–"} ${c.secretName}
      </a> <${Code} of=${c.code} fault=${c.fault} /> ${c.mismatch && html`<span class="dim">✎ ${c.mismatch.slice(0, 120)}
      </span>`}</li>`)}</ul></section>`;
}

export function Overview() {
  useShared();
  return html`<div class="grid"><${Connect} /><${Now} /><${Due} /><${LastErrors} /></div>`;
}
