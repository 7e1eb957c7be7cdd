// Entry point: routing, navigation, refresh and keys. Each view is a module that mounts into `main`
// and names the topics that it shows. Where a view has `snapshot()`, its result is `restore.content`
// of the route that returns to the same entry of the history.

import { get, storeToken } from "./api.js";
import { fill, h } from "./dom.js";
import { help, onKeys } from "./keys.js";
import { listen, onChange, onState } from "./live.js";
import { frame } from "./frame.js";
import * as entries from "./history.js";
import { toast } from "./parts.js";
import { jobView } from "./views/job.js";
import { jobsView } from "./views/jobs.js";
import { logsView } from "./views/logs.js";
import { mailView } from "./views/mail.js";
import { metricsView } from "./views/metrics.js";
import { queuesView } from "./views/queues.js";
import { overviewView } from "./views/overview.js";
import { requestsView } from "./views/requests.js";
import { stackView } from "./views/stack.js";
import { traceView } from "./views/trace.js";

const ROUTES = [
  [/^\/$/, overviewView],
  [/^\/requests$/, requestsView],
  [/^\/traces\/(?<id>[^/]+)$/, traceView],
  [/^\/jobs$/, jobsView],
  [/^\/jobs\/(?<id>[^/]+)$/, jobView],
  [/^\/queues$/, queuesView],
  [/^\/mail(?:\/(?<name>[^/]+))?$/, mailView],
  [/^\/logs$/, logsView],
  [/^\/metrics$/, metricsView],
  [/^\/stack$/, stackView],
];
const MIN_REFRESH_INTERVAL = 400; // ms

const main = document.getElementById("main");
let current = null; // the mounted view: { view, controller, mounted }
let shown = ""; // the path and query that it shows
let scheduled = null; // the timer of the next refresh

const here = () => location.pathname + location.search;

export function go(path, { replace = false, keep = false } = {}) {
  if (path === here()) return;
  if (replace) entries.replace(path);
  else {
    leave();
    entries.push(path);
  }
  shown = here();
  if (keep) frame.show(location.pathname);
  else open({ focus: true });
}

// Saves what is needed to return to the current entry of the history.
function leave() {
  const link = document.activeElement?.closest?.("main a[href]");
  entries.save({
    scroll: scrollY,
    focus: link?.getAttribute("href") ?? null,
    content: current?.mounted.snapshot?.() ?? null,
  });
}

// Scrolls to where the entry was left. With `focus`, the link that was focused is so again.
function settle(restore, focus) {
  const link = focus && restore.focus && main.querySelector(`a[href="${CSS.escape(restore.focus)}"]`);
  if (link && [main, document.body].includes(document.activeElement)) link.focus({ preventScroll: true });
  scrollTo(0, restore.scroll);
}

async function open({ focus = false, restore = null } = {}) {
  const path = location.pathname;
  shown = here();
  const [match, view] = find(path);
  frame.show(path);
  const route = {
    params: decodeAll(match?.groups ?? {}),
    query: new URLSearchParams(location.search),
    go,
    restore,
  };
  if (current?.view === view && view?.follows) {
    const at = current;
    const followed = at.mounted.follow?.(route);
    if (followed) {
      await followed;
      if (restore && at === current) settle(restore, focus);
      return;
    }
  }
  current?.controller.abort();
  current?.mounted.end?.();
  const controller = new AbortController();
  const root = h("div", { class: `view view-${view?.name ?? "none"}` });
  main.replaceChildren(root);
  if (!view) {
    document.title = "Not found · Twelvefold";
    fill(root, h("h1", {}, "Page not found"), h("p", {}, h("a", { href: "/" }, "Go to the overview")));
    current = null;
    return;
  }
  document.title = `${view.title} · Twelvefold`;
  const at = { view, controller, mounted: view.mount(root, route, controller.signal) };
  current = at;
  if (!restore) scrollTo(0, 0);
  if (focus) main.focus({ preventScroll: true });
  await refresh();
  if (restore && at === current) settle(restore, focus);
}

// Returns the parameters of a path as they were before the browser encoded them.
function decodeAll(params) {
  return Object.fromEntries(Object.entries(params).map(([name, value]) => {
    try {
      return [name, value && decodeURIComponent(value)];
    } catch {
      return [name, value]; // no valid encoding: nothing has this name
    }
  }));
}

function find(path) {
  for (const [pattern, view] of ROUTES) {
    const match = pattern.exec(path);
    if (match) return [match, view];
  }
  return [null, null];
}

export async function refresh() {
  const at = current;
  if (!at?.mounted.refresh) return;
  try {
    await at.mounted.refresh();
    main.removeAttribute("aria-busy");
    at.mounted.trouble?.remove();
  } catch (error) {
    if (error.name === "AbortError" || at !== current) return;
    at.mounted.trouble?.remove();
    main.removeAttribute("aria-busy");
    at.mounted.trouble = h("p", { class: "alert", role: "alert" }, messageOf(error));
    main.prepend(at.mounted.trouble);
  }
}

function messageOf(error) {
  return error instanceof TypeError ? "The console does not respond. Is the stack running?" : error.message;
}

// One refresh at a time, at most every 400 ms.
onChange((topics) => {
  frame.refresh(topics);
  if (!current || (topics && !current.view.topics.some((topic) => topics.has(topic)))) return;
  if (scheduled) return;
  scheduled = setTimeout(async () => {
    await refresh();
    scheduled = null;
  }, MIN_REFRESH_INTERVAL);
});
onState((state) => frame.live(state));

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || event.defaultPrevented || event.button !== 0) return;
  if (link.getAttribute("href").startsWith("#")) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || !find(url.pathname)[1]) return;
  event.preventDefault();
  go(url.pathname + url.search);
});
addEventListener("popstate", () => {
  if (here() === shown) {
    entries.arrive(); // only the fragment differs
    return;
  }
  leave();
  entries.arrive();
  open({ restore: entries.saved(), focus: true });
});
addEventListener("pagehide", leave);
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") toast(messageOf(event.reason), "bad");
});

function takeToken() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (!match) return false;
  storeToken(match[1]);
  entries.replace(here());
  return true;
}

takeToken();
addEventListener("hashchange", () => {
  if (takeToken()) refresh(); // a link was pasted into an open console
});
frame.start({ go, get });
document.getElementById("help").addEventListener("click", help);
onKeys({ go, search: () => frame.search(), help });
listen();
open({ restore: entries.saved() });
