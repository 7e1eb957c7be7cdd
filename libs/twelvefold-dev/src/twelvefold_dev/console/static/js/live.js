// Hears what has changed, while the page is looked at. A hidden page closes its stream: browsers
// open few connections to one host, and another tab may need it.

import { signed } from "./api.js";

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

function tell(state) {
  for (const watcher of watchers) watcher(state);
}

async function open() {
  if (source || opening) return;
  opening = true;
  const url = await signed("/api/events");
  opening = false;
  if (document.hidden) return;
  source = new EventSource(url);
  let lost = false;
  source.onopen = () => {
    tell("live");
    // Whatever happened meanwhile, nobody has told.
    if (lost) for (const listener of listeners) listener(null);
    lost = false;
  };
  source.onerror = () => {
    lost = true;
    tell("lost");
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
