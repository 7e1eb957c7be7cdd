// Entry point: routing, navigation, refresh and keys. Each view is a module that mounts into `main`
// and names the topics that it shows.

import { get, storeToken } from "./api.js";
import { fill, h } from "./dom.js";
import { help, onKeys } from "./keys.js";
import { listen, onChange, onState } from "./live.js";
import { frame } from "./frame.js";
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
let current = null; // the mounted view: { view, route, controller, mounted }
let scheduled = null; // the timer of the next refresh

export function go(path, { replace = false, keep = false } = {}) {
  if (path === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  if (keep) frame.show(location.pathname);
  else open({ focus: true });
}

async function open({ focus = false } = {}) {
  const path = location.pathname;
  const [match, view] = find(path);
  frame.show(path);
  const route = {
    params: match?.groups ?? {},
    query: new URLSearchParams(location.search),
    hash: location.hash,
    go,
  };
  if (current?.view === view && view?.follows && current.mounted.follow?.(route)) return;
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
  const mounted = view.mount(root, route, controller.signal);
  current = { view, controller, mounted };
  scrollTo(0, 0);
  if (focus) main.focus({ preventScroll: true });
  await refresh();
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
addEventListener("popstate", () => open());
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name !== "AbortError") toast(messageOf(event.reason), "bad");
});

function takeToken() {
  const match = /^#token=([\w-]+)$/.exec(location.hash);
  if (!match) return;
  storeToken(match[1]);
  history.replaceState(null, "", location.pathname + location.search);
}

takeToken();
addEventListener("hashchange", takeToken); // for a link that is pasted into an open console
frame.start({ go, get });
document.getElementById("help").addEventListener("click", help);
onKeys({ go, search: () => frame.search(), help });
listen();
open();
