// Event stream of changes while the page is visible. A hidden page closes its stream, since browsers
// limit the number of connections to a host, and other tabs need them.

import { signUrl } from "./api.js";

let source = null;
let opening = false;
const listeners = new Set();
const watchers = new Set();

export function onChange(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function onState(watcher) {
  watchers.add(watcher);
}

function report(state) {
  for (const watcher of watchers) watcher(state);
}

async function open() {
  if (source || opening) return;
  opening = true;
  const url = await signUrl("/api/events");
  opening = false;
  if (document.hidden) return;
  source = new EventSource(url);
  let lost = false;
  source.onopen = () => {
    report("live");
    // Changes during the interruption were not reported: refresh everything.
    if (lost) for (const listener of listeners) listener(null);
    lost = false;
  };
  source.onerror = () => {
    lost = true;
    report("lost");
  };
  source.onmessage = (event) => {
    const topics = new Set(event.data.split(" "));
    for (const listener of listeners) listener(topics);
  };
}

export function listen() {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = null;
    } else {
      open();
      for (const listener of listeners) listener(null);
    }
  });
  addEventListener("pagehide", () => source?.close());
  if (!document.hidden) open();
}
