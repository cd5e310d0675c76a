// The frame: head line, pages, keys. Every view has a URL behind the #.
import { html, render, useEffect, useState } from "./preact.js";
import { Choice, exact } from "./ui.js";
import { caller, change, loadClock, loadFacts, now, shared, t, useShared } from "./state.js";
import { Overview } from "./pages/overview.js";
import { Secrets } from "./pages/secrets.js";
import { Call } from "./pages/call.js";
import { Errors } from "./pages/errors.js";
import { Faults } from "./pages/faults.js";
import { Journal } from "./pages/journal.js";
import { Limits } from "./pages/limits.js";
import { State } from "./pages/state.js";

const pages = [
  ["overview", "Overview", "o", Overview],
  ["secrets", "Secrets", "s", Secrets],
  ["call", "Call", "c", Call],
  ["errors", "Errors", "e", Errors],
  ["faults", "Faults", "f", Faults],
  ["journal", "Journal", "j", Journal],
  ["limits", "Limits", "l", Limits],
  ["state", "State", "t", State],
];

/** decoded is a part of the address, as it is if a person has typed something else. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function where() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decoded);
  return {
    page: pages.some(([name]) => name === page) ? page : "overview",
    rest,
    q: Object.fromEntries(new URLSearchParams(query)),
  };
}

function Clock() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const c = shared.clock;
  if (!c) return null;
  const moved = c.mode === "frozen" || !/^-?0s$|^-?\d+(\.\d+)?(ns|µs|ms)$/.test(c.offset);
  return html`<a class=${moved ? "clock moved" : "clock"} href="#/overview" title=${t("virtual time")}>🕑 ${exact(now())}${c.mode === "frozen" && html` <b>
    ${t("frozen")}</b>`}${c.mode !== "frozen" && moved && html` <b>${t("moved")}</b>`}</a>`;
}

function Head({ page }) {
  const facts = shared.facts;
  const callers = facts
    ? facts.callers.map((c) => ({ value: c.secretId, label: `${c.uin} · ${c.secretId.slice(0, 40)}` }))
    : [];
  return html`<header>
    <div class="line">
      <h1>ssmlocal</h1> <span class="dim">${shared.version}</span> <span class="mono">${location.host}</span>
      <${Choice} label=${t("account")} value=${caller().secretId} values=${callers} change=${(as) => change({ as }, true)} />
      <${Choice} label=${t("region")} value=${shared.region} values=${facts ? facts.regions : [shared.region]} change=${(region) => change({ region }, true)} />
      <${Clock} />
      <span class="right">
        <button type="button" lang="en" aria-pressed=${shared.language === "en"} onClick=${() => change({ language: "en" }, true)}>EN</button>
        <button type="button" lang="zh-CN" aria-pressed=${shared.language === "zh"} onClick=${() => change({ language: "zh" }, true)}>中文</button>
        <button type="button" title=${t("light or dark")} aria-label=${"◐ " + t("light or dark")} onClick=${() => change({ theme: dark() ? "light" : "dark" }, true)}>◐</button>
        <button type="button" title=${t("large type")} aria-label=${"A+ " + t("large type")} aria-pressed=${!!shared.large} onClick=${() => change({ large: shared.large ? "" : "1" }, true)}>A+</button>
      </span>
    </div>
    <nav aria-label=${t("pages")}>
      ${pages.map(([name, title]) => html`<a href=${"#/" + name} aria-current=${name === page ? "page" : undefined}>
      ${t(title)}</a>`)}
      <span class="right"><button type="button" class="small" onClick=${() => change({ help: !shared.help })}>? ${t("keys")}
        </button></span></nav>
    ${shared.gone && html`<p class="gone" role="alert">
      ${t("The control plane does not answer")}: ${shared.gone}. ${t("It is tried again.")}</p>`}
  </header>`;
}

const dark = () =>
  shared.theme ? shared.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;

function Help() {
  const keys = [
    [
      "g",
      t("then a page's letter: {letters}", {
        letters: pages.map(([, title, key]) => key + " " + t(title)).join(", "),
      }),
    ],
    ["/", t("search")],
    ["j k", t("next and previous row")],
    ["enter", t("open")],
    ["c", t("copy as")],
    ["space", t("pause and go on")],
    ["?", t("these keys")],
  ];
  return html`<aside class="help" role="dialog" aria-label=${t("keys")}><table>${keys.map(([key, text]) => html`<tr>
    <th><kbd>${key}</kbd></th><td>${text}</td></tr>`)}</table>
    <button type="button" onClick=${() => change({ help: false })}>${t("close")}</button></aside>`;
}

/** keys makes the keyboard suffice. Rows are elements with data-row. */
let before = "";
function onKey(event) {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "Escape") return (change({ help: false }), event.target.blur());
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const page = before === "g" && pages.find(([, , key]) => key === event.key);
  before = event.key;
  if (page) location.hash = "#/" + page[0];
  else if (event.key === "/") document.querySelector("[data-search] input, #search")?.focus();
  else if (event.key === "j") rows[Math.min(at + 1, rows.length - 1)]?.focus();
  else if (event.key === "k") rows[Math.max(at - 1, 0)]?.focus();
  else if (event.key === "c") document.querySelector("[data-copy]")?.click();
  else if (event.key === "?") change({ help: !shared.help });
  else if (event.key === " " && (at >= 0 || !/^(BUTTON|SUMMARY|A)$/.test(event.target.tagName)))
    document.querySelector("[data-pause]")?.click();
  else return;
  event.preventDefault();
}

function App() {
  useShared();
  const [at, set] = useState(where());
  useEffect(() => {
    const move = () => set(where());
    addEventListener("hashchange", move);
    addEventListener("keydown", onKey);
    loadClock();
    loadFacts().catch(() => {}); // the clock says that nobody answers
    const timer = setInterval(
      () => document.hidden || (loadClock(), shared.facts || loadFacts().catch(() => {})),
      3000,
    );
    return () => clearInterval(timer);
  }, []);
  const [, title, , Page] = pages.find(([name]) => name === at.page);
  useEffect(() => {
    document.title = t(title) + " · ssmlocal";
  });
  return html`<${Head} page=${at.page} />
    <main><${Page} key=${at.page} rest=${at.rest} q=${at.q} /></main>
    ${shared.help && html`<${Help} />`}
    <p class="unseen" role="status" aria-live="polite">${shared.said}</p>`;
}

change({});
render(html`<${App} />`, document.getElementById("app"));
