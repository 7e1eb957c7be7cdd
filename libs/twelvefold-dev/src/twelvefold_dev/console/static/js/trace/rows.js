// One row of the waterfall: the span's name, its bar and its duration. The saturated part of a bar is
// the span's self time, the pale part its children's.

import { h } from "../dom.js";
import { duration } from "../format.js";
import { hue, service, summaryBeyondName, tag } from "../parts.js";

const INDENT = 14; // px per level
const MAX_INDENTED = 14; // levels

// `place` is the span's place among its siblings and their number, for screen readers.
export function makeRow(span, { cause, above, place }) {
  const classes = [
    "span", span.failed && "failed", span.id === cause?.span_id && "root-cause-row", span.later && "later",
  ];
  return h(
    "div",
    {
      class: classes.filter(Boolean).join(" "), role: "treeitem", tabindex: "-1", id: `span-${span.id}`,
      "aria-level": span.depth + 1, "aria-posinset": place.at, "aria-setsize": place.of,
      "aria-selected": "false", "aria-expanded": span.children ? "true" : null,
      data: { hue: hue(span.service), span: span.id },
    },
    label(span, cause, above),
    h("div", { class: "span-time" }),
    h("span", { class: "span-length" }, duration(span.length)),
  );
}

function label(span, cause, above) {
  const guides = Math.min(span.depth, MAX_INDENTED);
  const beyond = summaryBeyondName(span.name, span.summary);
  return h(
    "div",
    {
      class: "span-label", style: { "--indent": `${guides * INDENT}px` },
      title: [span.name, beyond, `${span.service} · ${duration(span.length)}`].filter(Boolean).join("\n"),
    },
    span.children
      ? h("button", { class: "fold", type: "button", tabindex: "-1", "aria-hidden": "true" })
      : h("span", { class: "fold-room" }),
    tag(span.category),
    h("span", { class: "span-name" }, span.name),
    h("span", { class: "span-summary" }, beyond),
    span.id === cause?.span_id && h("span", { class: `cause-mark ${cause.why}` }, cause.why === "error" ? "failed here" : "slowest"),
    span.failed && span.id !== cause?.span_id && h("span", { class: "cause-mark error" }, "failed"),
    span.orphan && h("span", { class: "faint", title: "The parent span was not received" }, "no parent"),
    span.service !== above?.service && service(span.service),
  );
}

// Draws the bar of a row for the window of `zoom`.
export function drawBar(row, span, { scale, zoom, marks }) {
  const at = (time) => zoom.within(scale.place(time));
  const [from, to] = [at(span.start), at(span.start + span.length)];
  const box = row.querySelector(".span-time");
  if (to < 0 || from > 1) {
    const side = to < 0 ? "before" : "after";
    box.replaceChildren(h("span", { class: `outside ${side}`, title: `${side} this window` }, side === "before" ? "‹" : "›"));
    return;
  }
  box.replaceChildren(
    part("bar", from, to, "2px"),
    ...span.gaps.map(([since, lasting]) => [at(since), at(since + lasting)])
      .filter(([since, until]) => until >= 0 && since <= 1)
      .map(([since, until]) => part("bar own", since, until, "1px")),
    ...marks.map((mark) => ({ ...mark, at: at(mark.at) }))
      .filter((mark) => mark.at >= 0 && mark.at <= 1)
      .map((mark) => h("span", { class: `mark ${mark.level}`, title: mark.event, style: { left: `${mark.at * 100}%` } })),
  );
}

function part(name, from, to, min) {
  const [left, right] = [Math.max(-0.01, from), Math.min(1.01, to)]; // outside of the window, not visible
  return h("span", { class: name, style: { left: `${left * 100}%`, width: `max(${min}, ${(right - left) * 100}%)` } });
}
