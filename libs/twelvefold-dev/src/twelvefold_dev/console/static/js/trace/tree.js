// The rows of the waterfall as a tree: folding, selection and the keyboard. Of a large trace only the
// rows near the screen are in the document, so that its size costs nothing.

import { h } from "../dom.js";
import { drawBar, makeRow } from "./rows.js";

const MAX_DRAWN = 150; // rows; a trace with more is drawn as it is scrolled
const BEYOND = 12; // rows drawn above and below the screen
const NARROW = matchMedia("(max-width: 620px)");
const HEIGHT = 27, NARROW_HEIGHT = 48; // px of a row, as in trace.css

// `folded` has the ids of folded spans, `room` returns the height that fixed elements cover at the top
// of the window, `onscreen` receives the first and the last row on the screen.
export function makeTree({ spans, cause, marks, scale, zoom, folded, room, signal, onselect, onscreen }) {
  const byId = new Map(spans.map((span) => [span.id, span]));
  const places = placesOf(spans);
  const nodes = new Map(); // the drawn rows by the span's id
  let visible = []; // spans without those below folded ones
  let index = new Map(); // their positions
  let selected = null;
  let active = spans[0]; // the span that Tab reaches
  let matched = new Set();
  let pending = 0;
  const tree = h("div", { class: "tree", role: "tree", "aria-label": "Spans, in the order of time", onkeydown, onclick, ondblclick });

  addEventListener("scroll", soon, { passive: true, signal });
  addEventListener("resize", soon, { signal });
  tree.addEventListener("wheel", onwheel, { passive: false, signal });

  const height = () => (NARROW.matches ? NARROW_HEIGHT : HEIGHT);

  function soon() {
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      draw();
    });
  }

  function count() {
    visible = [];
    let hidden = Infinity; // the depth of the folded span that hides the following rows
    for (const span of spans) {
      if (span.depth > hidden) continue;
      hidden = folded.has(span.id) ? span.depth : Infinity;
      visible.push(span);
    }
    index = new Map(visible.map((span, at) => [span.id, at]));
    if (!index.has(active.id)) active = above(active, (span) => index.has(span.id)) ?? visible[0];
  }

  function above(span, matches) {
    let at = byId.get(span.parent);
    for (let steps = 0; at && !matches(at) && steps < spans.length; steps += 1) at = byId.get(at.parent);
    return at;
  }

  // Draws the rows near the screen, and the active one, which may have the focus.
  function draw() {
    const box = tree.getBoundingClientRect();
    const row = height();
    const first = Math.max(0, Math.floor((room() - box.top) / row));
    const last = Math.min(visible.length, Math.ceil((innerHeight - box.top) / row));
    const isSmall = visible.length <= MAX_DRAWN;
    const drawn = isSmall ? [...visible] : visible.slice(Math.max(0, first - BEYOND), Math.max(0, last + BEYOND));
    if (!isSmall && !drawn.includes(active)) drawn[index.get(active.id) < first ? "unshift" : "push"](active);
    tree.style.height = `${visible.length * row}px`;
    const wanted = new Set(drawn.map((span) => span.id));
    for (const [id, node] of nodes) if (!wanted.has(id)) { node.remove(); nodes.delete(id); }
    let next = tree.firstChild;
    for (const span of drawn) {
      const node = nodes.get(span.id) ?? create(span);
      node.style.setProperty("top", `${index.get(span.id) * row}px`);
      if (node === next) next = next.nextSibling;
      else tree.insertBefore(node, next);
    }
    onscreen(first, last, visible);
  }

  function create(span) {
    const node = makeRow(span, { cause, above: byId.get(span.parent), place: places.get(span.id) });
    nodes.set(span.id, node);
    mark(span, node);
    drawBar(node, span, { scale, zoom, marks: marks.get(span.id) ?? [] });
    return node;
  }

  function mark(span, node = nodes.get(span.id)) {
    node?.setAttribute("aria-selected", String(span === selected));
    node?.setAttribute("tabindex", span === active ? "0" : "-1");
    node?.classList.toggle("match", matched.has(span.id));
    if (span.children) node?.setAttribute("aria-expanded", String(!folded.has(span.id)));
  }

  // Makes a span the active one and scrolls to it where it is not on the screen; with `centre`, to the
  // middle of the window.
  function move(span, { focus = true, centre = false, scroll = true } = {}) {
    const before = active;
    active = span;
    reveal(span);
    mark(before);
    const row = height();
    const top = tree.getBoundingClientRect().top + index.get(span.id) * row;
    const [from, to] = [room(), innerHeight];
    if (scroll && (top < from || top + row > to)) {
      const target = centre ? (from + to - row) / 2 : top < from ? from : to - row;
      scrollBy({ top: top - target, behavior: "instant" });
    }
    draw();
    mark(span);
    if (focus) nodes.get(span.id).focus({ preventScroll: true });
  }

  function reveal(span) {
    const ancestors = [];
    for (let at = byId.get(span.parent); at && ancestors.length < spans.length; at = byId.get(at.parent)) ancestors.push(at);
    if (ancestors.filter((each) => folded.delete(each.id)).length) update();
  }

  function select(span, options) {
    const before = selected;
    selected = span;
    if (before) mark(before);
    move(span, options);
    mark(span);
    onselect(span);
  }

  function fold(span, close = !folded.has(span.id)) {
    if (!span.children) return;
    if (close) folded.add(span.id);
    else folded.delete(span.id);
    update();
  }

  function foldAll(close) {
    folded.clear();
    if (close) for (const span of spans) if (span.children && span.depth > 0) folded.add(span.id);
    update();
  }

  function update() {
    const hasFocus = tree.contains(document.activeElement);
    count();
    draw();
    for (const id of nodes.keys()) mark(byId.get(id));
    if (hasFocus) nodes.get(active.id)?.focus({ preventScroll: true });
  }

  function spanOf(event) {
    return byId.get(event.target.closest("[data-span]")?.dataset.span);
  }

  function onclick(event) {
    const span = spanOf(event);
    if (!span) return;
    if (event.target.closest(".fold")) fold(span);
    else select(span);
  }

  function ondblclick(event) {
    const span = event.target.closest(".span-time") && spanOf(event);
    if (span) show(span);
  }

  const show = (span) => zoom.show(scale.place(span.start), scale.place(span.start + span.length));

  function onwheel(event) {
    const column = event.target.closest(".span-time");
    if (!column || !(event.ctrlKey || (zoom.isZoomed && Math.abs(event.deltaX) > Math.abs(event.deltaY)))) return;
    event.preventDefault();
    const box = column.getBoundingClientRect();
    const [from, to] = zoom.range;
    const at = from + ((event.clientX - box.left) / box.width) * (to - from);
    if (!event.ctrlKey) zoom.move(event.deltaX / box.width);
    else if (event.deltaY < 0) zoom.zoomIn(at);
    else zoom.zoomOut(at);
  }

  function onkeydown(event) {
    const span = spanOf(event);
    if (!span || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = index.get(span.id);
    const isOpen = span.children > 0 && !folded.has(span.id);
    const step = (to) => visible[to] && move(visible[to]);
    const middle = scale.place(span.start + span.length / 2);
    const moves = {
      ArrowDown: () => step(at + 1),
      ArrowUp: () => step(at - 1),
      PageDown: () => step(Math.min(visible.length - 1, at + 20)),
      PageUp: () => step(Math.max(0, at - 20)),
      Home: () => step(0),
      End: () => step(visible.length - 1),
      ArrowRight: () => (event.shiftKey ? zoom.move(0.2) : isOpen ? step(at + 1) : fold(span, false)),
      ArrowLeft: () => (event.shiftKey ? zoom.move(-0.2) : isOpen ? fold(span, true) : step(index.get(span.parent))),
      Enter: () => select(span),
      " ": () => select(span),
      "+": () => zoom.zoomIn(middle),
      "-": () => zoom.zoomOut(middle),
      0: () => zoom.reset(),
      z: () => show(span),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    moves[event.key]();
  }

  count();
  return {
    box: tree,
    draw,
    select,
    foldAll,
    byId,
    get selected() { return selected; },
    get activeId() { return active.id; },
    get hasFocus() { return tree.contains(document.activeElement); },
    move,
    // Makes a row the active one where it is.
    keep(id, { focus }) {
      if (index.has(id)) move(byId.get(id), { focus, scroll: false });
    },
    drawBars() {
      for (const [id, node] of nodes) drawBar(node, byId.get(id), { scale, zoom, marks: marks.get(id) ?? [] });
    },
    showMatches(found) {
      matched = found;
      for (const id of nodes.keys()) mark(byId.get(id));
    },
    // Scrolls to the row at this share of all rows.
    scrollTo(share) {
      const span = visible[Math.min(visible.length - 1, Math.floor(share * visible.length))];
      if (span) move(span, { focus: false, centre: true });
    },
    // The first row on the screen with its place there, and the place of a row.
    anchor() {
      const top = tree.getBoundingClientRect().top;
      const at = Math.max(0, Math.ceil((room() - top) / height()));
      const span = visible[at];
      return span && { id: span.id, top: top + at * height() };
    },
    topOf: (id) => (index.has(id) ? tree.getBoundingClientRect().top + index.get(id) * height() : null),
  };
}

// Returns each span's place among its siblings, from 1, and their number.
function placesOf(spans) {
  const ids = new Set(spans.map((span) => span.id));
  const numbers = new Map();
  const parentOf = (span) => (span.depth && ids.has(span.parent) ? span.parent : "");
  const places = new Map();
  for (const span of spans) {
    const at = (numbers.get(parentOf(span)) ?? 0) + 1;
    numbers.set(parentOf(span), at);
    places.set(span.id, { at });
  }
  for (const span of spans) places.get(span.id).of = numbers.get(parentOf(span));
  return places;
}
