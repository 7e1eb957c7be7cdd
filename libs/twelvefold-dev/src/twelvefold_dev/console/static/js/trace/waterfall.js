// The spans of a trace over one time axis: search, zoom, minimap and axis, which stay in sight, above
// the rows.

import { fill, h } from "../dom.js";
import { duration } from "../format.js";
import { findSpans } from "./matches.js";
import { makeMinimap } from "./minimap.js";
import { makeHandle } from "./name-column.js";
import { makeScale } from "./scale.js";
import { makeTree } from "./tree.js";
import { ALL, makeZoom, onDrag } from "./zoom.js";

const TICK_WIDTH = 84; // px that the label of a tick has
const MIN_SPANS = 12; // of a trace with a minimap
const top = document.querySelector(".top");

// `shown` is what the address and the history keep, and is updated: `folded` (ids), `zoom` (ns from
// the trace's start) and `find`. `onchange` is called after each change of it.
export function waterfall(trace, { cause, marks, shown, signal, onselect, onchange }) {
  const { spans } = trace;
  const order = new Map(spans.map((span, at) => [span, at]));
  const scale = makeScale(spans, trace.length);
  const zoom = makeZoom(shown.zoom ? shown.zoom.map(scale.place) : ALL, onzoom);
  const head = h("div", { class: "waterfall-head" });
  const tree = makeTree({
    spans, cause, marks, scale, zoom, folded: shown.folded, signal, onselect, onscreen,
    room: () => top.offsetHeight + head.offsetHeight,
  });
  const box = h("div", { class: "waterfall" }, head, tree.box);
  const minimap = makeMinimap({ spans, scale, zoom, onclick: (_, share) => tree.scrollTo(share) });
  const axis = h("div", { class: "axis-time", "aria-hidden": "true", title: "Drag to zoom" });
  const count = h("span", { class: "find-count", role: "status" });
  const find = h("input", {
    type: "search", id: "find", placeholder: "Find in this trace", autocomplete: "off", spellcheck: "false",
    "aria-keyshortcuts": "f", title: "Words, is:failed, >10ms. Enter goes to the next match",
    oninput: () => {
      search(find.value);
      onchange();
    },
    onkeydown: (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      step(event.shiftKey ? -1 : 1);
    },
  });
  const stepButtons = [["‹", -1, "Previous match"], ["›", 1, "Next match"]].map(([text, by, name]) =>
    h("button", { class: "quiet", type: "button", title: name, "aria-label": name, disabled: true, onclick: () => step(by) }, text));
  const zoomed = h("span", { class: "zoom-range" });
  const fit = h("button", { type: "button", title: "Show the whole trace (0)", onclick: zoom.reset }, "Fit");
  let matches = [];
  let at = -1;
  let width = 0; // px of the axis

  find.value = shown.find;
  fill(
    head,
    h(
      "div",
      { class: "waterfall-tools" },
      h("label", { class: "sr", for: "find" }, "Find in this trace"),
      find, count, stepButtons,
      h("span", { class: "spacer" }),
      spans.length >= MIN_SPANS && [
        h("button", { class: "quiet", type: "button", onclick: () => tree.foldAll(true) }, "Fold all"),
        h("button", { class: "quiet", type: "button", onclick: () => tree.foldAll(false) }, "Unfold all"),
      ],
      h(
        "span",
        { class: "zoom-buttons" },
        h("button", { type: "button", title: "Zoom out (−)", "aria-label": "Zoom out", onclick: () => zoom.zoomOut() }, "−"),
        h("button", { type: "button", title: "Zoom in (+)", "aria-label": "Zoom in", onclick: () => zoom.zoomIn() }, "+"),
        fit,
      ),
    ),
    spans.length >= MIN_SPANS && minimap.box,
    h(
      "div",
      { class: "axis-row" },
      h("div", { class: "axis-label" }, "Span", zoomed, makeHandle(box)),
      axis,
      h("div", { class: "axis-length" }, "Duration"),
    ),
  );
  onDrag(axis, {
    onrange: (from, to) => {
      const [start, end] = zoom.range;
      zoom.set([start + from * (end - start), start + to * (end - start)]);
    },
  });
  showAxis();
  search(shown.find);

  function onzoom(range) {
    shown.zoom = zoom.isZoomed ? range.map((each) => Math.round(scale.timeAt(each))) : null;
    showAxis();
    tree.drawBars();
    onchange();
  }

  function showAxis() {
    const [from, to] = zoom.range;
    width = axis.clientWidth;
    const max = Math.max(2, Math.min(8, Math.floor(width / TICK_WIDTH)));
    minimap.showWindow(zoom.range);
    fit.disabled = !zoom.isZoomed;
    zoomed.textContent = zoom.isZoomed ? `${duration(Math.round(scale.timeAt(to) - scale.timeAt(from)))} shown` : "";
    fill(
      axis,
      scale.ticks(zoom.range, max).filter((tick) => tick.at < 0.94).map((tick) =>
        h("span", { class: "tick", style: { left: `${tick.at * 100}%` } }, tick.text)),
      scale.cuts.filter((cut) => cut.to > from && cut.from < to).map((cut) => h(
        "span",
        {
          class: "cut", title: `${duration(cut.length)} without activity`,
          style: { left: `${zoom.within(cut.from) * 100}%`, width: `${((cut.to - cut.from) / (to - from)) * 100}%` },
        },
        "⋯",
      )),
    );
  }

  function onscreen(first, last, visible) {
    if (axis.clientWidth !== width) showAxis();
    const position = (row) => order.get(visible[Math.min(visible.length - 1, Math.max(0, row))]) / spans.length;
    minimap.showScreen(position(first), position(last - 1) + 1 / spans.length);
  }

  function search(text) {
    shown.find = text.trim();
    matches = findSpans(spans, text);
    at = -1;
    const found = new Set(matches.map((span) => span.id));
    tree.showMatches(found);
    minimap.showMatches(found);
    showCount();
  }

  function showCount() {
    count.textContent = !shown.find ? "" : at < 0 ? `${matches.length} found` : `${at + 1} of ${matches.length}`;
    for (const button of stepButtons) button.disabled = !matches.length;
  }

  // Goes to the next or the previous match, from the selected span where no match was shown yet.
  function step(by) {
    if (!matches.length) return;
    if (at < 0 && tree.selected) {
      const from = order.get(tree.selected);
      const next = matches.findIndex((span) => order.get(span) > from);
      at = by > 0 ? next : (next < 0 ? matches.length : next) - 1;
      at = (at + matches.length) % matches.length;
    } else at = (Math.max(at, by > 0 ? -1 : 0) + by + matches.length) % matches.length;
    tree.select(matches[at], { focus: false, centre: true });
    showCount();
  }

  return {
    box,
    tree,
    // Selects a span by its id; returns whether the trace has it.
    choose(id, options) {
      const span = tree.byId.get(id);
      if (span) tree.select(span, options);
      return Boolean(span);
    },
  };
}
