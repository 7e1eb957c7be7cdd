// Keyboard shortcuts. Every function is also reachable by pointer and by Tab.

import { h } from "./dom.js";

const VIEW_KEYS = { o: "/", r: "/requests", j: "/jobs", q: "/queues", m: "/mail", l: "/logs", c: "/metrics", s: "/stack" };
const HELP = [
  ["/", "search requests"],
  ["g then o r j q m l c s", "overview, requests, jobs, queues, mail, logs, metrics, stack"],
  ["↑ ↓", "next row of a list or a trace"],
  ["n", "show the new traces that wait"],
  ["← →", "fold and unfold a span"],
  ["Enter", "open, or show the span"],
  ["f", "find in the trace, Enter for the next match"],
  ["+ - 0 z", "in a trace: zoom in, out, to all, to the span"],
  ["Esc", "leave the search, close a dialog"],
  ["?", "this list"],
];
let pending = false;

function isTyping(target) {
  return target.matches?.("input:not([type=radio]):not([type=checkbox]), textarea, select") ?? false;
}

export function onKeys({ go, search, help: showHelp }) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (pending && VIEW_KEYS[event.key]) go(VIEW_KEYS[event.key]);
    else if (event.key === "/") {
      event.preventDefault();
      search();
    } else if (event.key === "?") showHelp();
    else if (event.key === "f" && document.getElementById("find")) {
      event.preventDefault();
      document.getElementById("find").focus();
    } else if (event.key === "n") document.querySelector("main .fresh:not([hidden])")?.click();
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") moveRow(event);
    pending = event.key === "g" && !pending;
  });
}

// Moves the focus to the next row, in the list with the focus or else in the first list.
function moveRow(event) {
  if (event.target.closest?.('[role="tree"], .scrolls-itself, fieldset')) return;
  const list = event.target.closest?.("[data-rows]") ?? document.querySelector("main [data-rows]");
  if (!list) return;
  const links = [...list.querySelectorAll("[data-row]")];
  const at = links.indexOf(document.activeElement);
  if (at < 0 && !list.contains(document.activeElement) && event.key === "ArrowUp") return;
  const next = links[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

export function help() {
  const dialog = h(
    "dialog",
    { class: "dialog", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", { class: "keys" }, HELP.map(([keys, what]) =>
      h("div", {}, h("dt", {}, keys.split(" ").map((key) => (key === "then" ? " then " : h("kbd", {}, key)))), h("dd", {}, what)))),
    h("h2", {}, "Search"),
    h("dl", { class: "keys" }, [
      ["status:5xx", "or 404: by status"], ["service:users", "with spans of the service"], ["method:post", ""],
      [">100ms", "or <2s: by duration"], ["is:failed", "or trouble, ok"], ["route:images", "part of the template"],
      ["anything else", "path, request id, trace id, account, span, exception"],
    ].map(([form, what]) => h("div", {}, h("dt", {}, h("code", {}, form)), h("dd", {}, what)))),
    h("form", { method: "dialog", class: "buttons" }, h("button", { class: "primary" }, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
