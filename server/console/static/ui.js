// Small parts of which pages are made.
import { html, useEffect, useRef, useState } from "./preact.js";
import { change, now, shared, t } from "./state.js";

export { html };

/** number is what was typed as a number. What is none stays a text, so that the emulator refuses it. */
export const number = (text) => (/^-?\d+(\.\d+)?$/.test(String(text).trim()) ? Number(text) : text);

/** useLoad loads something, and again when what it depends on changes. */
export function useLoad(load, depends, every = 0) {
  const [state, set] = useState({});
  const turn = useRef(0);
  const again = () => {
    const mine = ++turn.current;
    return load().then(
      (value) => mine === turn.current && set({ value }),
      (error) => mine === turn.current && set((old) => ({ value: old.value, error })),
    );
  };
  useEffect(() => {
    again();
    const timer = every && setInterval(() => document.hidden || again(), Math.max(1000, every));
    return () => {
      turn.current++;
      clearInterval(timer);
    };
  }, depends);
  return { ...state, again };
}

const marks = { Enabled: "●", Disabled: "○", PendingDelete: "◔", Creating: "◌", Failed: "✕" };

export const Status = ({ of }) =>
  html`<span class=${"status " + of}><span aria-hidden="true">${marks[of] || "·"}</span> ${of}</span>`;

/** Code shows a code of the API: OK plain, an error red. */
export const Code = ({ of, fault }) =>
  html`<span class=${of === "OK" ? "code" : "code error"}>${of}</span>
    ${fault && html` <span class="fault" title=${fault}>⚡ ${t("fault")}</span>`}`;

export function Problem({ error }) {
  if (!error) return null;
  return html`<p class="problem" role="alert">${error.code && html`<b>${error.code}</b> `}${error.message}</p>`;
}

export const Empty = ({ children }) => html`<div class="empty">${children}</div>`;

/** ago says how far a time is: "in 3 d 4 h". */
export function ago(ms) {
  const units = [
    ["d", 864e5],
    ["h", 36e5],
    ["min", 6e4],
    ["s", 1e3],
  ];
  let rest = Math.abs(ms);
  const parts = [];
  for (const [name, size] of units) {
    const n = Math.floor(rest / size);
    if (n > 0 && parts.length < 2) parts.push(n + " " + t(name));
    else if (parts.length) break;
    rest %= size;
  }
  const text = parts.join(" ") || "0 " + t("s");
  return ms >= 0 ? t("in {time}", { time: text }) : t("{time} ago", { time: text });
}

const two = (n) => String(n).padStart(2, "0");

/** exact writes a time in UTC+8, as the service does. */
export function exact(ms) {
  const d = new Date(ms + 8 * 36e5);
  if (Number.isNaN(d.getTime())) return "";
  return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())} +08:00`;
}

/** wallTime is the time of day of a text such as 2030-01-02T15:04:05Z, in UTC+8 like all others. */
export const wallTime = (text) => exact(Date.parse(text)).slice(11, 19);

/** Time says a virtual time twice: how far it is, and exactly. */
export const Time = ({ at }) =>
  at
    ? html`<time title=${exact(at)}>${ago(at - now())} <small>${exact(at)}</small></time>`
    : html`<span class="dim">–</span>`;

export function Copy({ text, label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    const value = typeof text === "function" ? await text() : text;
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      // no permission, or no secure context: the old way
      const area = document.createElement("textarea");
      area.value = value;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="small" onClick=${copy}>${done ? t("copied") : label || t("copy")}</button>`;
}

/** Sure is a button that asks once more, in place. */
export function Sure({ label, question, act, disabled, title }) {
  const [asked, ask] = useState(false);
  const before = useRef(false);
  const place = useRef();
  useEffect(() => {
    // The focus goes to the question, and comes back.
    if (asked !== before.current) (asked ? place.current?.querySelector(".danger") : place.current)?.focus();
    before.current = asked;
  }, [asked]);
  if (!asked)
    return html`<button type="button" ref=${place} disabled=${disabled} title=${title} onClick=${() => ask(true)}>
      ${label}</button>`;
  return html`<span class="sure" ref=${place}>${question || t("Really?")}
    <button type="button" class="danger" onClick=${() => (ask(false), act())}>${label}</button>
    <button type="button" onClick=${() => ask(false)}>${t("no")}</button></span>`;
}

/** Text shows what may be long, in any script and with any character: as text, in its own direction, cut if long. */
export function Text({ of, most = 300 }) {
  const [whole, show] = useState(false);
  const text = String(of ?? "");
  const visible = text.replace(
    /[\u0000-\u0008\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g,
    (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"),
  );
  if (visible.length <= most || whole) return html`<bdi class="text">${visible}</bdi>`;
  return html`<bdi class="text">${visible.slice(0, most)}</bdi>
    <button type="button" class="small" onClick=${() => show(true)}>… ${t("{n} characters", { n: text.length })}
    </button>`;
}

export const Json = ({ of }) =>
  html`<pre class="json" tabindex="0">
    <${Text} of=${typeof of === "string" ? of : JSON.stringify(of, null, 2)} most=${8000} /></pre>`;

/** Wire shows everything that went over the wire. */
export function Wire({ of }) {
  if (!of) return null;
  const head = (m) => [m.line, ...(m.headers || []).map((h) => h.name + ": " + h.value)].join("\n");
  return html`<details class="wire"><summary>${t("Wire")}</summary>
    <h4>${t("Request")}</h4><pre tabindex="0">
      <${Text} of=${head(of.request) + "\n\n" + of.request.body} most=${4000} /></pre>
    ${of.canonicalRequest && html`<h4>${t("Canonical request")}</h4><pre tabindex="0">
      <${Text} of=${of.canonicalRequest} most=${4000} /></pre>`}
    <h4>${t("String to sign")}</h4><pre tabindex="0"><${Text} of=${of.stringToSign} most=${4000} /></pre>
    <h4>${t("Response")} <small>${of.took}</small></h4><pre tabindex="0">
      <${Text} of=${head(of.response) + "\n\n" + of.response.body} most=${4000} /></pre>
  </details>`;
}

/** word quotes a text for a shell. */
const word = (text) => (/^[\w./:=-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");

/** callCommand is a call as a command. */
export function callCommand(action, parameters, { as, region, language, signature } = {}) {
  let command = `ssmlocal call ${action} ${word(JSON.stringify(parameters))}`;
  for (const [name, value] of Object.entries({ as, region, language, signature }))
    if (value) command += ` --${name} ${word(value)}`;
  return command;
}

/** given leaves out what is empty. */
export const given = (values) => Object.fromEntries(Object.entries(values).filter(([, v]) => v));

/** As shows what a view does as a command and as curl. */
export function As({ command, path, method = "GET", body }) {
  // Commands that need a server find the one at the usual address by themselves.
  if (command && !/^ssmlocal (errors|tour) /.test(command) && location.host !== "127.0.0.1:9023")
    command += " --url " + location.origin;
  const curl =
    "curl " +
    (method === "GET" ? "" : "-X " + method + " ") +
    word(location.origin + "/_ssmlocal" + path) +
    (body ? " -d " + word(JSON.stringify(body)) : "");
  return html`<p class="as">${command && html`<span>${t("As a command")} <code>${command}
    </code> <${Copy} text=${command} /></span>`}
    <span>${t("Over HTTP")} <code>${curl}</code> <${Copy} text=${curl} /></span></p>`;
}

/** Choice is a select with a label. */
export const Choice = ({
  label,
  value,
  values,
  change: set,
  all,
}) => html`<label>${label} <select value=${value} onChange=${(e) => set(e.target.value)}>
  ${all !== undefined && html`<option value="">${all}</option>`}
  ${values.map((v) => html`<option value=${v.value ?? v}>${v.label ?? v}</option>`)}</select></label>`;

/** Field is an input with a label; it reports what was typed after a moment. */
export function Field({ label, value, change: set, type = "text", placeholder, wide, id }) {
  const [typed, type_] = useState(value);
  const timer = useRef();
  useEffect(() => type_(value), [value]);
  const input = (e) => {
    const text = e.target.value;
    type_(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => set(text), 250);
  };
  return html`<label class=${wide ? "wide" : ""}>
    ${label} <input id=${id} type=${type} value=${typed} placeholder=${placeholder} onInput=${input} spellcheck="false" autocomplete="off" />
    </label>`;
}

export const hash = (page, values = {}) => {
  const q = new URLSearchParams(Object.entries(values).filter(([, v]) => v !== "" && v !== undefined));
  return "#/" + page + (q.size || q.toString() ? "?" + q : "");
};

export function go(page, values) {
  location.hash = hash(page, values);
}

/** announce tells people who don't see the screen. */
export function announce(text) {
  change({ said: text });
}

export { shared };
