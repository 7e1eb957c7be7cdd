// Everything about one span, the telling parts first.

import { h } from "./dom.js";
import { duration, percent } from "./format.js";
import { copyButton, facts, service, tag } from "./parts.js";

const LONG = 60; // characters, from which a value gets a line of its own
const STATEMENTS = ["db.query.text", "db.statement"];

export function spanDetails(span, trace) {
  const statement = STATEMENTS.map((name) => span.attributes[name]).find(Boolean);
  const errors = span.events.filter((event) => event.name === "exception");
  const others = span.events.filter((event) => event.name !== "exception");
  const attributes = Object.entries(span.attributes).filter(([name]) => !STATEMENTS.includes(name));
  const jobId = span.attributes["job.id"];
  return h(
    "article",
    { class: "span-details", "aria-label": `Span ${span.name}` },
    h("h2", {}, tag(span.category), " ", span.name),
    facts([
      ["Service", service(span.service)],
      ["Took", h("b", {}, duration(span.length))],
      ["Itself", span.children ? `${duration(span.own)} · ${percent(span.own / Math.max(span.length, 1))}` : null],
      ["Began", `+${duration(span.start)}`],
      ["Kind", span.kind],
      ["Job", jobId ? h("a", { href: `/jobs/${encodeURIComponent(jobId)}` }, "show the job") : null],
    ]),
    errors.map(exception),
    span.failed && !errors.length && h("p", { class: "error-text" }, span.message || "Marked as failed, without a message."),
    statement && [h("h3", {}, "Statement"), h("pre", { class: "block" }, dedent(String(statement)))],
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

function exception(event) {
  const found = event.attributes;
  const type = String(found["exception.type"] ?? "exception");
  const stack = found["exception.stacktrace"] && traceback(String(found["exception.stacktrace"]));
  return h(
    "section",
    { class: "exception" },
    h("h3", {}, type.split(".").pop()),
    h("p", { class: "error-text" }, String(found["exception.message"] ?? "")),
    stack,
  );
}

// Lines of the suite's own code stand out from those of libraries. The last ones tell most.
export function traceback(text) {
  let ours = true;
  const lines = text.trimEnd().split("\n").filter((line) => !/^[\s^~]*$/.test(line)).map((line) => {
    if (/^\s*File "/.test(line)) ours = /File "\//.test(line) && !/site-packages|\/lib\/python/.test(line);
    else if (!/^\s/.test(line)) ours = true;
    const short = line.replace(/"\/.*\/(?:site-packages|src|lib\/python3\.\d+)\//, '"');
    return h("span", { class: ours ? "ours" : "theirs" }, `${short}\n`);
  });
  const block = h("pre", { class: "block stack", tabindex: "0", "aria-label": "Traceback" }, lines);
  queueMicrotask(() => block.scrollTo(0, block.scrollHeight));
  return block;
}

function links(span, trace) {
  const elsewhere = span.links.filter((link) => !trace.spans.some((each) => each.id === link.span_id));
  if (!elsewhere.length) return null;
  return [
    h("h3", {}, "Links"),
    h("ul", { class: "events" }, elsewhere.map((link) =>
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
  const lines = text.replace(/^\s*\n|\s+$/g, "").split("\n");
  const depth = Math.min(...lines.filter((line) => line.trim()).map((line) => /^\s*/.exec(line)[0].length));
  return lines.map((line) => line.slice(depth)).join("\n");
}
