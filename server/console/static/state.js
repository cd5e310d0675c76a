// What all pages share: language, colours, who calls, the clock.
import { useEffect, useReducer } from "./preact.js";
import { get } from "./api.js";
import { zh } from "./zh.js";

const stored = (name, otherwise) => {
  try {
    return localStorage.getItem("ssmlocal." + name) ?? otherwise;
  } catch {
    return otherwise; // storage is switched off
  }
};

export const shared = {
  language: stored("language", navigator.language.startsWith("zh") ? "zh" : "en"),
  theme: stored("theme", ""),
  large: stored("large", ""),
  as: stored("as", ""),
  region: stored("region", "ap-guangzhou"),
  version: "",
  facts: null, // of GET /facts
  clock: null, // of GET /clock, with the wall time at which it came
  gone: "", // why the control plane does not answer
};

const listeners = new Set();

/** change changes what is shared, and keeps what a person has chosen. */
export function change(values, keep = false) {
  Object.assign(shared, values);
  for (const [name, value] of Object.entries(values)) {
    if (!keep) break;
    try {
      localStorage.setItem("ssmlocal." + name, value);
    } catch {} // storage is switched off: it holds for this page
  }
  document.documentElement.lang = shared.language === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = shared.theme;
  document.documentElement.dataset.large = shared.large;
  for (const listener of listeners) listener();
}

/** useShared draws a component again when something shared changes. */
export function useShared() {
  const [, again] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    listeners.add(again);
    return () => listeners.delete(again);
  }, []);
  return shared;
}

/** t is a text in the chosen language; {name} is replaced. */
export function t(text, values = {}) {
  const translated = (shared.language === "zh" && zh[text]) || text;
  return translated.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
}

/** caller is who calls: a SecretId with its account. */
export function caller() {
  const all = shared.facts ? shared.facts.callers : [];
  return all.find((c) => c.secretId === shared.as) || all[0] || { secretId: "", uin: 0 };
}

export const options = () => ({
  as: caller().secretId,
  region: shared.region,
  language: shared.language === "zh" ? "zh-CN" : "en-US",
});

/** now is virtual time in milliseconds. */
export function now() {
  const c = shared.clock;
  if (!c) return Date.now();
  return Date.parse(c.now) + (c.mode === "frozen" ? 0 : Date.now() - c.came);
}

export async function loadClock() {
  try {
    const clock = await get("/clock");
    if (shared.gone) loadFacts().catch(() => {}); // it may be another emulator
    change({ clock: { ...clock, came: Date.now() }, gone: "" });
  } catch (error) {
    change({ gone: error.message });
  }
}

export async function loadFacts() {
  const [facts, version] = await Promise.all([get("/facts"), get("/version")]);
  change({ facts, version: version.version });
}
