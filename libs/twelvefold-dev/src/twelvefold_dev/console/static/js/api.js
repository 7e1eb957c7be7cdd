// Client of the console's JSON API. Each request sends the token of the link that `up` prints.

import { askForToken } from "./token.js";

const KEY = "token";

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let current = "";
let accept;
const accepted = new Promise((resolve) => { accept = resolve; });

export function storeToken(token) {
  current = token;
  try {
    localStorage.setItem(KEY, token);
  } catch {
    // Without storage, the page keeps the token until it is closed.
  }
}

function token() {
  try {
    return current || (localStorage.getItem(KEY) ?? "");
  } catch {
    return current;
  }
}

export function get(path, params = {}, signal) {
  const query = toQuery(params);
  // An empty kind selects all traces, unlike a missing one.
  if (params.kind === "") query.set("kind", "");
  return send(`/api/${path}${query.size ? `?${query}` : ""}`, { signal });
}

export function post(path, params = {}) {
  const query = toQuery(params);
  return send(`/api/${path}${query.size ? `?${query}` : ""}`, { method: "POST" });
}

export function remove(path) {
  return send(`/api/${path}`, { method: "DELETE" });
}

function toQuery(params) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  return query;
}

// Returns the URL, with a ticket, of a path to which the browser sends no headers (an event stream,
// a frame, a download). Waits for a successful request, which proves that the token is valid.
export async function signUrl(path, query = "") {
  await accepted;
  const bytes = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes.encode(token()), algorithm, false, ["sign"]);
  const signature = await crypto.subtle.sign("HMAC", key, bytes.encode(decodeURIComponent(path)));
  const ticket = Array.from(new Uint8Array(signature), (byte) => byte.toString(16).padStart(2, "0"));
  return `${path}?ticket=${ticket.join("")}${query ? `&${query}` : ""}`;
}

// Asks the user for the token where it is missing, or invalid after a reset of the stack.
async function send(url, options) {
  for (;;) {
    const sent = token();
    const response = await fetch(url, { ...options, headers: { "X-Console-Token": sent } });
    if (response.status !== 401) {
      accept();
      return read(response);
    }
    if (token() !== sent) continue; // another request has asked for it in the meantime
    const entered = await askForToken();
    if (entered === null) throw new Problem(401, "The console's token is missing. `twelvefold console` prints it.");
    storeToken(entered);
  }
}

async function read(response) {
  const isJson = response.headers.get("content-type")?.includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, body?.detail ?? `HTTP ${response.status}`);
  return body;
}
