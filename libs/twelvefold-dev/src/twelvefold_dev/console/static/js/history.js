// The entries of this tab's history. Each keeps what is needed to show it again as it was left: the
// scroll position, the focused link, and the content that its view saved. They are kept while the tab
// is open, so that Back, Forward and a reload restore them.

const STORAGE = "history";
const MAX_ENTRIES = 50; // the oldest are dropped

history.scrollRestoration = "manual";

let key = keyOfEntry();
let entries = read(); // pairs of key and content, the newest last

function keyOfEntry() {
  if (!history.state?.key) history.replaceState({ key: crypto.randomUUID() }, "");
  return history.state.key;
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(STORAGE)) ?? [];
  } catch {
    return [];
  }
}

export function push(path) {
  key = crypto.randomUUID();
  history.pushState({ key }, "", path);
}

export function replace(path) {
  history.replaceState(history.state, "", path);
}

// Makes the entry at which the browser has arrived the current one.
export function arrive() {
  key = keyOfEntry();
}

export function save(content) {
  entries = [...entries.filter(([each]) => each !== key), [key, content]].slice(-MAX_ENTRIES);
  try {
    sessionStorage.setItem(STORAGE, JSON.stringify(entries));
  } catch { /* without storage, they are kept until a reload */ }
}

export function saved() {
  return entries.find(([each]) => each === key)?.[1] ?? null;
}
