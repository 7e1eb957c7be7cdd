// The handle that changes the width of the column of names. The width is kept in this browser.

import { h } from "../dom.js";

const STORAGE = "trace-names";
const MIN = 15, MAX = 75, STEP = 2; // percent of the waterfall
const STANDARD = 46; // as in trace.css

export function makeHandle(waterfall) {
  const handle = h("span", {
    class: "column-handle", role: "separator", tabindex: "0", "aria-orientation": "vertical",
    "aria-label": "Width of the column of names", "aria-valuemin": MIN, "aria-valuemax": MAX, "aria-valuenow": STANDARD,
    title: "Drag to resize, double-click for the standard width",
    onkeydown: (event) => {
      const steps = { ArrowLeft: -STEP, ArrowRight: STEP };
      if (!steps[event.key]) return;
      event.preventDefault();
      event.stopPropagation();
      set(current() + steps[event.key]);
    },
    ondblclick: reset,
    onpointerdown: (event) => {
      handle.setPointerCapture(event.pointerId);
      event.preventDefault();
    },
    onpointermove: (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = waterfall.getBoundingClientRect();
      set(((event.clientX - box.left) / box.width) * 100);
    },
  });

  const current = () => Number(handle.getAttribute("aria-valuenow"));

  function set(percent) {
    const width = Math.round(Math.min(MAX, Math.max(MIN, percent)));
    show(width);
    try {
      localStorage.setItem(STORAGE, width);
    } catch { /* without storage, the width lasts until the page is closed */ }
  }

  function show(width) {
    handle.setAttribute("aria-valuenow", width);
    waterfall.style.setProperty("--names", `${width}%`);
  }

  function reset() {
    handle.setAttribute("aria-valuenow", STANDARD);
    waterfall.style.removeProperty("--names");
    try {
      localStorage.removeItem(STORAGE);
    } catch { /* nothing was stored */ }
  }

  try {
    const stored = Number(localStorage.getItem(STORAGE));
    if (stored >= MIN && stored <= MAX) show(stored);
  } catch { /* the standard width applies */ }
  return handle;
}
