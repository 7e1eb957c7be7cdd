// The spans of a trace as rows of a tree over one time axis. Arrow keys move, fold and unfold, Enter
// shows a span. The saturated part of a bar is the span's self time, the pale part its children's.

import { fill, h } from "./dom.js";
import { brief, duration } from "./format.js";
import { hue, service, summaryBeyondName, tag } from "./parts.js";
import { makeScale } from "./scale.js";

const INDENT = 14; // px per level
const MAX_INDENTED = 14; // levels
const TICKS = 5;

export function waterfall(trace, { cause, marks, onselect }) {
  const scale = makeScale(trace.spans, trace.length);
  const folded = new Set();
  const rows = new Map();
  const parents = new Map(trace.spans.map((span) => [span.id, span]));
  let selected = null;
  const tree = h("div", { class: "tree", role: "tree", "aria-label": "Spans, in the order of time" });
  const box = h("div", { class: "waterfall" }, axis(scale), tree);

  for (const span of trace.spans) {
    const row = h(
      "div",
      {
        class: `span${span.failed ? " failed" : ""}${span.id === cause?.span_id ? " root-cause-row" : ""}${span.later ? " later" : ""}`,
        role: "treeitem", tabindex: "-1", id: `span-${span.id}`, "aria-level": String(span.depth + 1),
        "aria-selected": "false", "aria-expanded": span.children ? "true" : null,
        data: { hue: hue(span.service) },
        onclick: (event) => (event.target.closest(".fold") ? fold(span) : choose(span)),
      },
      label(span, cause, parents.get(span.parent)),
      bar(span, scale, marks.get(span.id) ?? []),
      h("span", { class: "span-length" }, duration(span.length)),
    );
    rows.set(span.id, row);
    tree.append(row);
  }
  tree.firstChild?.setAttribute("tabindex", "0");
  tree.addEventListener("keydown", onKey);

  function visible() {
    return trace.spans.filter((span) => !rows.get(span.id).hidden);
  }

  function choose(span, { focus = true } = {}) {
    if (selected) rows.get(selected.id).setAttribute("aria-selected", "false");
    selected = span;
    rows.get(span.id).setAttribute("aria-selected", "true");
    move(span, { focus });
    onselect(span);
  }

  function move(span, { focus = true } = {}) {
    for (const row of tree.querySelectorAll('[tabindex="0"]')) row.setAttribute("tabindex", "-1");
    const row = rows.get(span.id);
    row.setAttribute("tabindex", "0");
    if (focus) row.focus();
    row.scrollIntoView({ block: "nearest" });
  }

  function fold(span, close = !folded.has(span.id)) {
    if (!span.children) return;
    if (close) folded.add(span.id);
    else folded.delete(span.id);
    rows.get(span.id).setAttribute("aria-expanded", String(!close));
    let hidden = -1; // the depth of the folded span that hides the following rows
    for (const each of trace.spans) {
      if (hidden >= 0 && each.depth > hidden) {
        rows.get(each.id).hidden = true;
        continue;
      }
      hidden = folded.has(each.id) ? each.depth : -1;
      rows.get(each.id).hidden = false;
    }
  }

  function onKey(event) {
    const there = visible();
    const at = there.findIndex((span) => rows.get(span.id) === event.target);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const span = there[at];
    const open = span.children > 0 && !folded.has(span.id);
    const moves = {
      ArrowDown: () => there[at + 1] && move(there[at + 1]),
      ArrowUp: () => there[at - 1] && move(there[at - 1]),
      Home: () => move(there[0]),
      End: () => move(there.at(-1)),
      ArrowRight: () => (open ? move(there[at + 1]) : fold(span, false)),
      ArrowLeft: () => (open ? fold(span, true) : parent(there, at) && move(parent(there, at))),
      Enter: () => choose(span),
      " ": () => choose(span),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }

  return {
    box,
    choose: (id, options) => {
      const span = trace.spans.find((each) => each.id === id);
      if (span) choose(span, options);
    },
  };
}

function parent(spans, at) {
  return spans.slice(0, at).findLast((span) => span.depth < spans[at].depth);
}

function label(span, cause, above) {
  const guides = Math.min(span.depth, MAX_INDENTED);
  return h(
    "div",
    { class: "span-label", style: { "--indent": `${guides * INDENT}px` } },
    span.children
      ? h("button", { class: "fold", type: "button", tabindex: "-1", "aria-hidden": "true" })
      : h("span", { class: "fold-room" }),
    tag(span.category),
    h("span", { class: "span-name" }, span.name),
    h("span", { class: "span-summary" }, summaryBeyondName(span.name, span.summary)),
    span.id === cause?.span_id && h("span", { class: `cause-mark ${cause.why}` }, cause.why === "error" ? "failed here" : "slowest"),
    span.failed && span.id !== cause?.span_id && h("span", { class: "cause-mark error" }, "failed"),
    span.orphan && h("span", { class: "faint", title: "The parent span was not received" }, "no parent"),
    span.service !== above?.service && service(span.service),
  );
}

function bar(span, scale, marks) {
  const from = scale.place(span.start);
  const width = scale.place(span.start + span.length) - from;
  return h(
    "div",
    { class: "span-time" },
    h("span", {
      class: "bar", style: { left: `${from * 100}%`, width: `max(2px, ${width * 100}%)` },
    }),
    span.gaps.map(([since, lasting]) => {
      const start = scale.place(since);
      const share = scale.place(since + lasting) - start;
      return h("span", {
        class: "bar own", style: { left: `${start * 100}%`, width: `max(1px, ${share * 100}%)` },
      });
    }),
    marks.map((mark) => h("span", {
      class: `mark ${mark.level}`, title: mark.event, style: { left: `${scale.place(mark.at) * 100}%` },
    })),
  );
}

function axis(scale) {
  const ticks = scale.ticks(TICKS);
  const line = h("div", { class: "axis-time", "aria-hidden": "true" });
  fill(
    line,
    ticks.filter(({ at }) => at < 0.94).map(({ time, at }) => h("span", { class: "tick", style: { left: `${at * 100}%` } }, time ? brief(duration(time)) : "0")),
    scale.cuts.map((cut) => h("span", { class: "cut", title: `${duration(cut.length)} without activity`, style: { left: `${cut.at * 100}%`, width: `${cut.width * 100}%` } }, "⋯")),
  );
  return h("div", { class: "axis-row" }, h("div", { class: "axis-label" }, "Span"), line, h("div", { class: "axis-length" }, "Duration"));
}
