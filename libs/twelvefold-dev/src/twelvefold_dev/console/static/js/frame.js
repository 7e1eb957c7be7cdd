// The frame of every view: navigation, search, theme and the state of the stack.

import { fill, h } from "./dom.js";
import { state, tone } from "./parts.js";

const VIEWS = [
  ["/", "Overview", "o"], ["/requests", "Requests", "r"], ["/jobs", "Jobs", "j"], ["/queues", "Queues", "q"], ["/mail", "Mail", "m"],
  ["/logs", "Logs", "l"], ["/metrics", "Metrics", "c"], ["/stack", "Stack", "s"],
];
const THEMES = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };
let go, get, busy = false, again = false;

const nav = document.getElementById("views");
const box = document.getElementById("search");
const stack = document.getElementById("stack-state");
const live = document.getElementById("live");
const theme = document.getElementById("theme");
const checkout = document.getElementById("checkout");

export const frame = {
  start(tools) {
    ({ go, get } = tools);
    nav.append(...VIEWS.map(([path, name, key]) =>
      h("li", {}, h("a", { href: path, data: { view: path }, "aria-keyshortcuts": `g ${key}` }, name))));
    box.form.addEventListener("submit", (event) => {
      event.preventDefault();
      search({ final: true });
    });
    box.addEventListener("input", () => {
      if (frame.latest) suggest(frame.latest);
      if (location.pathname === "/requests") search({ final: false });
    });
    theme.addEventListener("click", () => {
      const order = Object.keys(THEMES);
      setTheme(order[(order.indexOf(document.documentElement.dataset.theme ?? "") + 1) % order.length]);
    });
    setTheme(document.documentElement.dataset.theme ?? "");
    frame.refresh(null);
  },

  show(path) {
    for (const link of nav.querySelectorAll("a")) {
      const view = link.dataset.view;
      const here = view === "/" ? path === "/" : path.startsWith(view) || (view === "/requests" && path.startsWith("/traces"));
      if (here) {
        link.setAttribute("aria-current", "page");
        link.scrollIntoView({ block: "nearest", inline: "center" });
      }
      else link.removeAttribute("aria-current");
    }
    const query = path === "/requests" ? new URLSearchParams(location.search).get("q") ?? "" : "";
    if (document.activeElement !== box) box.value = query;
  },

  search() {
    box.focus();
    box.select();
  },

  live(connection) {
    const texts = { live: "live", lost: "no connection" };
    live.className = `live ${connection}`;
    live.textContent = texts[connection];
  },

  async refresh(topics) {
    if (topics && !topics.has("processes")) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      const found = await get("stack");
      if (!frame.latest) suggest(found);
      frame.latest = found;
      showStack(found);
    } catch {
      fill(stack, state("silent", "no response"));
    } finally {
      busy = false;
      if (again) {
        again = false;
        frame.refresh(null);
      }
    }
  },
  latest: null,
};

// Offers conditions for the word that is typed. A suggestion of a datalist replaces the whole text.
function suggest(found) {
  const list = document.getElementById("suggestions");
  const before = box.value.replace(/\S*$/, "");
  const own = found.services.map((name) => `service:${name}`);
  fill(list, [...found.suggestions, ...own].map((word) => h("option", { value: before + word })));
}

let waiting = null;

function search({ final }) {
  clearTimeout(waiting);
  const open = () => {
    const query = new URLSearchParams(location.pathname === "/requests" ? location.search : "");
    if (box.value.trim()) query.set("q", box.value.trim());
    else query.delete("q");
    go(`/requests${query.size ? `?${query}` : ""}`, { replace: !final });
  };
  if (final) open();
  else waiting = setTimeout(open, 250);
}

// Shows the worst state of all processes.
function showStack(found) {
  checkout.textContent = found.checkout;
  checkout.title = found.root;
  if (found.supervisor_error) {
    fill(stack, state("silent", "no supervisor"));
    return;
  }
  const troubled = found.processes.filter((one) => tone(one.health ?? one.state) !== "good");
  const name = troubled.length === 1 ? `${troubled[0].name} ${troubled[0].health ?? troubled[0].state}` : `${troubled.length} unhealthy`;
  const worst = troubled.some((one) => tone(one.health ?? one.state) === "bad") ? "failed" : "degraded";
  fill(stack, troubled.length ? state(worst, name) : state("ok", `${found.processes.length} processes`));
}

function setTheme(name) {
  const root = document.documentElement;
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
  try {
    localStorage.setItem("theme", name);
  } catch { /* without storage, the choice lasts until the page is closed */ }
  theme.setAttribute("aria-label", `${THEMES[name]}. Change theme`);
  theme.title = THEMES[name];
}
