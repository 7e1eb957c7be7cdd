// One log line in columns: time, level, process, event, the first fields and the exception; unfolded,
// all fields.

import { h } from "./dom.js";
import { duration, time } from "./format.js";
import { actionButton, copy, copyButton, service } from "./parts.js";
import { plain, table } from "./span.js";
import { traceback } from "./traceback.js";

const HIDDEN = new Set(["trace_id", "span_id", "exception", "request_id"]);
const IDS = new Set(["trace_id", "span_id", "request_id", "job_id", "principal"]);
const MAX_FIELDS = 8; // on the folded line

export function logLine(line, { start = null, chosen = false, onspan = null, linked = false } = {}) {
  const fields = Object.entries(line.fields).filter(([name, value]) => !HIDDEN.has(name) && value !== null);
  const text = h(
    "summary",
    {},
    start === null ? time(line.time, { fraction: true }) : offset(line.time, start),
    h("span", { class: `level ${line.level ?? ""}` }, line.level ?? "–"),
    h("span", { title: line.source }, service(line.source.split(".")[0])),
    h("span", { class: "log-event" }, line.event),
    h("span", { class: "log-fields" }, fields.slice(0, MAX_FIELDS).map(([name, value]) =>
      h("span", {}, h("i", {}, name), "=", plain(value), " "))),
    line.fields.exception && h("span", { class: "log-exception" }, lastLine(String(line.fields.exception))),
  );
  const trace = linked && line.trace_id && `/traces/${line.trace_id}${line.span_id ? `?span=${line.span_id}` : ""}`;
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
        table([["process", line.source], ["time", line.time ?? "–"], ...all.map(copyable)]),
        h(
          "p",
          { class: "log-copy" },
          actionButton("Copy line", () => copy(asText(line), "Line copied"), { kind: "quiet" }),
          line.fields.exception && actionButton("Copy traceback", () => copy(String(line.fields.exception), "Traceback copied"), { kind: "quiet" }),
        ),
        onspan && h("button", { type: "button", onclick: onspan }, "Show the span"),
        trace && h("a", { href: trace }, "Show the trace"),
      ),
    ),
    trace && h("a", { class: "log-trace", href: trace, "aria-label": "Trace of this line" }, "trace"),
  );
}

// The last line of a traceback names the exception.
function lastLine(exception) {
  return exception.trimEnd().split("\n").findLast((line) => line.trim() && !/^\s/.test(line)) ?? exception;
}

function copyable([name, value]) {
  return [name, IDS.has(name) && typeof value === "string" ? copyButton(value, name) : value];
}

function asText({ source, time: at, level, event, fields }) {
  return JSON.stringify({ time: at, level, process: source, event, ...fields });
}

function offset(at, start) {
  const passed = new Date(at).getTime() * 1e6 - start * 1e3;
  return h("time", { datetime: at, title: at }, passed < 0 ? `−${duration(-passed)}` : `+${duration(passed)}`);
}
