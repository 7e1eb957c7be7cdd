// The window of time that the waterfall shows: two positions of the scale. Pointers draw it on an
// axis, wheels and keys move it.

const MIN_WIDTH = 1e-6; // of the trace
const FACTOR = 1.6; // of one step
const MIN_DRAG = 4; // px; less is a click
export const ALL = [0, 1];

export function makeZoom(initial, onchange) {
  let range = initial;

  function set([from, to]) {
    const width = Math.min(1, Math.max(MIN_WIDTH, to - from));
    const start = Math.min(1 - width, Math.max(0, from));
    const next = [start, start + width];
    if (next[0] === range[0] && next[1] === range[1]) return;
    range = next;
    onchange(range);
  }

  // Zooms by a factor while the position `at` stays where it is.
  function scale(factor, at = (range[0] + range[1]) / 2) {
    set([at - (at - range[0]) * factor, at + (range[1] - at) * factor]);
  }

  return {
    get range() { return range; },
    get isZoomed() { return range[1] - range[0] < 1; },
    set,
    reset: () => set(ALL),
    zoomIn: (at) => scale(1 / FACTOR, at),
    zoomOut: (at) => scale(FACTOR, at),
    move: (share) => set([range[0] + share * (range[1] - range[0]), range[1] + share * (range[1] - range[0])]),
    // With a margin, so that neighbours are visible.
    show: (from, to) => set([from - (to - from) * 0.05, to + (to - from) * 0.05]),
    // Where a position of the scale is in the window: from 0 to 1 within it.
    within: (at) => (at - range[0]) / (range[1] - range[0]),
  };
}

// Calls `onrange` with the shares of the element's width between which the pointer was dragged,
// `onclick` where it was not.
export function onDrag(element, { onrange, onclick = null }) {
  const area = document.createElement("span");
  area.className = "drag-area";
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button, [role=separator]")) return;
    const box = element.getBoundingClientRect();
    const share = (x) => Math.min(1, Math.max(0, (x - box.left) / box.width));
    const start = event.clientX;
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
    const bounds = (moved) => [share(Math.min(start, moved.clientX)), share(Math.max(start, moved.clientX))];
    const move = (moved) => {
      const [from, to] = bounds(moved);
      element.append(area);
      area.style.left = `${from * 100}%`;
      area.style.width = `${(to - from) * 100}%`;
    };
    const stop = new AbortController();
    const { signal } = stop;
    element.addEventListener("pointermove", move, { signal });
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, (ended) => {
      stop.abort();
      area.remove();
      if (ended.type === "pointercancel") return;
      if (Math.abs(ended.clientX - start) >= MIN_DRAG) onrange(...bounds(ended));
      else onclick?.(share(start), (ended.clientY - box.top) / box.height);
    }, { signal });
  });
}
