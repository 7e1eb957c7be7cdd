// Asks the console's process. Writes carry the token that `up` printed with the page's link.

import { askForToken } from "./token.js";

const KEY = "token";

class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function keepToken(token) {
  try {
    localStorage.setItem(KEY, token);
  } catch {
    kept = token;
  }
}

let kept = "";

function token() {
  try {
    return localStorage.getItem(KEY) ?? kept;
  } catch {
    return kept;
  }
}

export async function get(path, params = {}, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  // An empty kind is a choice, too.
  if (params.kind === "") query.set("kind", "");
  return answered(await fetch(`/api/${path}${query.size ? `?${query}` : ""}`, { signal }));
}

// Asks for the token where it is missing or of an earlier start, once.
export async function post(path) {
  for (;;) {
    const response = await fetch(`/api/${path}`, {
      method: "POST",
      headers: { "X-Console-Token": token() },
    });
    if (response.status !== 401) return answered(response);
    const given = await askForToken();
    if (given === null) throw new Problem(401, "nothing was changed: the token is missing");
    keepToken(given);
  }
}

async function answered(response) {
  const isJson = response.headers.get("content-type")?.includes("json");
  const body = isJson ? await response.json() : await response.text();
  if (!response.ok) throw new Problem(response.status, body?.detail ?? `HTTP ${response.status}`);
  return body;
}
