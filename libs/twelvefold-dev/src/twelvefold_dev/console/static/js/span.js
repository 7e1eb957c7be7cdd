// The details of one span, the most useful first.

import { h } from "./dom.js";
import { duration, percent } from "./format.js";
import { actionButton, block, copy, copyButton, facts, service, tag } from "./parts.js";
import { suiteFrames, traceback } from "./traceback.js";

const LONG = 60; // characters, beyond which a value has its own line
const STATEMENTS = ["db.query.text", "db.statement"];

// `address` is the URL that shows this span.
export function spanDetails(span, trace, address) {
  const statement = STATEMENTS.map((name) => span.attributes[name]).find(Boolean);
  const errors = span.events.filter((event) => event.name === "exception");
  const others = span.events.filter((event) => event.name !== "exception");
  const attributes = Object.entries(span.attributes).filter(([name]) => !STATEMENTS.includes(name));
  const jobId = span.attributes["job.id"];
  return h(
    "article",
    { class: "span-details", "aria-label": `Span ${span.name}` },
    h(
      "div",
      { class: "span-title" },
      h("h2", {}, tag(span.category), " ", span.name),
      h("button", { class: "quiet", type: "button", onclick: () => copy(address, "Link copied") }, "Copy link"),
    ),
    facts([
      ["Service", service(span.service)],
      ["Duration", h("b", {}, duration(span.length))],
      ["Self time", span.children ? `${duration(span.own)} · ${percent(span.own / Math.max(span.length, 1))}` : null],
      ["Start", `+${duration(span.start)}`],
      ["Kind", span.kind],
      ["Job", jobId ? h("a", { href: `/jobs/${encodeURIComponent(jobId)}` }, "show the job") : null],
    ]),
    errors.map((event) => exception(event, span, trace)),
    span.failed && !errors.length && h("p", { class: "error-text" }, span.message || "Failed without a message."),
    statement && [h("h3", {}, "Statement"), block(dedent(String(statement)), "Statement")],
    others.length > 0 && [
      h("h3", {}, "Events"),
      h("ul", { class: "events" }, others.map((event) =>
        h("li", {}, h("b", {}, event.name), h("span", { class: "faint" }, ` +${duration(event.at)}`), table(Object.entries(event.attributes))))),
    ],
    h("h3", {}, "Attributes"),
    table(attributes),
    links(span, trace),
    h("h3", {}, "Origin"),
    table([
      ["span", copyButton(span.id, "span id")],
      ["instance", span.instance],
      ["instrumentation", span.scope],
    ].filter(([, value]) => value)),
  );
}

function exception(event, span, trace) {
  const { attributes } = event;
  const type = String(attributes["exception.type"] ?? "exception");
  const stack = String(attributes["exception.stacktrace"] ?? "");
  const frames = suiteFrames(span, trace);
  return h(
    "section",
    { class: "exception" },
    h("h3", {}, type.split(".").pop()),
    h("p", { class: "error-text" }, String(attributes["exception.message"] ?? "")),
    frames.length > 0 && h("ol", { class: "frames", "aria-label": "Frames in the suite's code, the innermost first" }, frames.map((frame) =>
      h("li", {}, h("span", { class: "mono" }, `${frame.file}:${frame.line}`), h("span", { class: "faint" }, ` ${frame.name}`), h("code", {}, frame.code)))),
    stack && h("details", { open: !frames.length }, h("summary", {}, "Traceback"), traceback(stack)),
    stack && h("p", {}, actionButton("Copy traceback", () => copy(stack, "Traceback copied"), { kind: "quiet" })),
  );
}

function links(span, trace) {
  const external = span.links.filter((link) => !trace.spans.some((each) => each.id === link.span_id));
  if (!external.length) return null;
  return [
    h("h3", {}, "Links"),
    h("ul", { class: "events" }, external.map((link) =>
      h("li", {}, h("a", { href: `/traces/${link.trace_id}`, class: "mono" }, `${link.trace_id.slice(0, 12)}…`)))),
  ];
}

export function table(pairs) {
  if (!pairs.length) return h("p", { class: "nothing" }, "None.");
  return h(
    "dl",
    { class: "pairs" },
    pairs.map(([name, value]) => {
      const shown = value instanceof Node ? value : plain(value);
      const long = typeof shown === "string" && shown.length > LONG;
      return h("div", { class: long ? "long" : null }, h("dt", {}, name), h("dd", { class: "mono" }, shown));
    }),
  );
}

export function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function dedent(text) {
  const lines = text.replace(/^\s*\n/, "").trimEnd().split("\n");
  const depth = Math.min(...lines.filter((line) => line.trim()).map((line) => /^\s*/.exec(line)[0].length));
  return lines.map((line) => line.slice(depth)).join("\n");
}
