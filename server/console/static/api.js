// The control plane, which is all that this page speaks to.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function send(method, path, body, type) {
  const init = { method, headers: {} };
  if (body !== undefined) {
    init.body = typeof body === "string" ? body : JSON.stringify(body);
    init.headers["Content-Type"] = type || "application/json";
  }
  let answer;
  try {
    answer = await fetch("/_ssmlocal" + path, init);
  } catch {
    throw new Refused(0, "the emulator does not answer");
  }
  const text = await answer.text();
  if (!answer.ok) {
    let message = text;
    try {
      message = JSON.parse(text).error;
    } catch {} // it is no JSON: shown as it is
    throw new Refused(answer.status, message || String(answer.status));
  }
  return (answer.headers.get("Content-Type") || "").startsWith("application/json") ? JSON.parse(text) : text;
}

export const get = (path) => send("GET", path);
export const post = (path, body) => send("POST", path, body);
export const put = (path, body, type) => send("PUT", path, body, type);
export const remove = (path) => send("DELETE", path);

/** query writes what is not empty behind a ?. */
export function query(values) {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== undefined && value !== null) q.set(name, value);
  }
  const text = q.toString();
  return text && "?" + text;
}

/** call makes a call of the API, which the emulator signs. */
export function call(action, parameters, { as, region, language, signature, service } = {}) {
  const q = { action, parameters };
  for (const [name, value] of Object.entries({ as, region, language, signature, service }))
    if (value) q[name] = value;
  return post("/call", q);
}

/** reply is the answer of a call; an error of the API is thrown. */
export async function reply(action, parameters, options) {
  const r = await call(action, parameters, options);
  if (r.noAnswer) throw new Refused(0, r.noAnswer);
  if (r.code) {
    const error = new Refused(200, r.message);
    error.code = r.code;
    throw error;
  }
  return r.reply;
}
