// One log line: the event and its first fields; unfolded, all fields.

import { h } from "./dom.js";
import { duration, time } from "./format.js";
import { service } from "./parts.js";
import { plain, table } from "./span.js";
import { traceback } from "./traceback.js";

const HIDDEN = new Set(["trace_id", "span_id", "exception", "request_id"]);
const MAX_FIELDS = 8; // on the folded line

export function logLine(line, { start = null, chosen = false, onspan = null, linked = false } = {}) {
  const fields = Object.entries(line.fields).filter(([name, value]) => !HIDDEN.has(name) && value !== null);
  const text = h(
    "summary",
    {},
    start === null ? time(line.time, { fraction: true }) : offset(line.time, start),
    h("span", { class: `level ${line.level ?? ""}` }, line.level ?? "–"),
    service(line.source.split(".")[0]),
    h("span", { class: "log-event" }, line.event),
    h("span", { class: "log-fields" }, fields.slice(0, MAX_FIELDS).map(([name, value]) =>
      h("span", {}, h("i", {}, name), "=", plain(value), " "))),
  );
  const all = Object.entries(line.fields).filter(([name]) => name !== "exception");
  return h(
    "li",
    { class: `log-line ${line.level ?? ""}${chosen ? " chosen" : ""}` },
    h(
      "details",
      {},
      text,
      h(
        "div",
        { class: "log-more" },
        line.fields.exception && traceback(String(line.fields.exception)),
        table([["process", line.source], ["time", line.time ?? "–"], ...all]),
        onspan && h("button", { type: "button", onclick: onspan }, "Show the span"),
        linked && line.trace_id && h("a", { href: `/traces/${line.trace_id}` }, "Show the trace"),
      ),
    ),
    linked && line.trace_id && h("a", { class: "log-trace", href: `/traces/${line.trace_id}`, "aria-label": "Trace of this line" }, "trace"),
  );
}

function offset(at, start) {
  const passed = new Date(at).getTime() * 1e6 - start * 1e3;
  return h("time", { datetime: at, title: at }, passed < 0 ? `−${duration(-passed)}` : `+${duration(passed)}`);
}
