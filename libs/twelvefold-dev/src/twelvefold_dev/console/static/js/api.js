// Asks the console's process. Every request carries the token that `up` printed with the link.

import { askForToken } from "./token.js";

const KEY = "token";

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

let kept = "";
let accept;
const accepted = new Promise((resolve) => { accept = resolve; });

export function keepToken(token) {
  kept = token;
  try {
    localStorage.setItem(KEY, token);
  } catch {
    // The token lasts as long as the page.
  }
}

function token() {
  try {
    return kept || (localStorage.getItem(KEY) ?? "");
  } catch {
    return kept;
  }
}

export function get(path, params = {}, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  // An empty kind is a choice, too.
  if (params.kind === "") query.set("kind", "");
  return send(`/api/${path}${query.size ? `?${query}` : ""}`, { signal });
}

export function post(path) {
  return send(`/api/${path}`, { method: "POST" });
}

// A URL for what sends no headers (an event stream, a frame, a download): the token signs its path.
// Waits until a request was answered, so that the token is known to be right.
export async function signed(path) {
  await accepted;
  const bytes = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes.encode(token()), algorithm, false, ["sign"]);
  const signature = await crypto.subtle.sign("HMAC", key, bytes.encode(decodeURIComponent(path)));
  const ticket = Array.from(new Uint8Array(signature), (byte) => byte.toString(16).padStart(2, "0"));
  return `${path}?ticket=${ticket.join("")}`;
}

// Asks for the token where it is missing or of a stack that was reset.
async function send(url, options) {
  for (;;) {
    const shown = token();
    const response = await fetch(url, { ...options, headers: { "X-Console-Token": shown } });
    if (response.status !== 401) {
      accept();
      return answered(response);
    }
    if (token() !== shown) continue; // another request asked for it meanwhile
    const given = await askForToken();
    if (given === null) throw new Problem(401, "The console's token is missing: `twelvefold console` prints it.");
    keepToken(given);
  }
}

async function answered(response) {
  const isJson = response.headers.get("content-type")?.includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, body?.detail ?? `HTTP ${response.status}`);
  return body;
}
