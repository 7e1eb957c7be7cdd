// A small chart of some lines over the last minutes, with the values at the pointer.

import { fill, h, svg } from "./dom.js";
import { brief, bytes, digits, moment, percent, seconds } from "./format.js";

const HEIGHT = 92, TOP = 8, BOTTOM = 4;
const MAX_LINES = 8;

const UNITS = {
  seconds, bytes,
  share: percent,
  rate: (value) => `${digits(value)}/s`,
  number: (value) => digits(value),
};

// `lines`: [{ name, times, values }], times in seconds since the epoch. `span`: width in seconds.
export function chart({ title, help, unit, lines }, span) {
  const format = UNITS[unit];
  const shown = [...lines].sort((a, b) => last(b) - last(a)).slice(0, MAX_LINES);
  const box = h("div", { class: "chart-area" });
  const legend = h("ul", { class: "legend" });
  const at = h("span", { class: "chart-at", "aria-hidden": "true" });
  const figure = h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", { class: "chart-title", title: help || null }, title), at),
    box,
    legend,
  );
  const now = Date.now() / 1000;
  const from = now - span;
  const values = shown.flatMap((line) => line.values.filter((value, place) => value !== null && line.times[place] >= from));
  const top = nice(Math.max(...values, 0), unit);

  function labels(place) {
    fill(legend, shown.map((line, number) => {
      const value = place === null ? last(line) : nearest(line, place);
      return h("li", { data: { line: number % MAX_LINES } }, h("span", { class: "legend-name" }, line.name), h("b", {}, value === null || Number.isNaN(value) ? "–" : format(value)));
    }), lines.length > shown.length && h("li", { class: "faint" }, `and ${lines.length - shown.length} more`));
    at.textContent = place === null ? "" : moment(new Date(place * 1000));
  }

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (!width) return;
    const x = (time) => ((time - from) / span) * width;
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
    const cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT, x1: -9, x2: -9 });
    fill(box, svg(
      "svg",
      {
        width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
        "aria-label": `${title}: ${shown.map((line) => `${line.name} ${Number.isNaN(last(line)) ? "none" : format(last(line))}`).join(", ") || "no values yet"}`,
        onpointermove: (event) => {
          const place = from + (event.offsetX / width) * span;
          cross.setAttribute("x1", event.offsetX);
          cross.setAttribute("x2", event.offsetX);
          labels(place);
        },
        onpointerleave: () => {
          cross.setAttribute("x1", -9);
          cross.setAttribute("x2", -9);
          labels(null);
        },
      },
      svg("line", { class: "grid", x1: 0, x2: width, y1: y(0), y2: y(0) }),
      svg("line", { class: "grid", x1: 0, x2: width, y1: y(top), y2: y(top) }),
      svg("text", { class: "axis", x: 2, y: y(top) + 11 }, brief(format(top))),
      shown.map((line, number) => svg("path", { class: "line", d: path(line, from, x, y), data: { line: number % MAX_LINES } })),
      cross,
    ));
  }
  labels(null);
  new ResizeObserver(draw).observe(box);
  return figure;
}

function path(line, from, x, y) {
  let form = "";
  let pen = false;
  line.values.forEach((value, place) => {
    if (value === null || line.times[place] < from) {
      pen = false;
      return;
    }
    form += `${pen ? "L" : "M"}${x(line.times[place]).toFixed(1)} ${y(value).toFixed(1)}`;
    // A single value is drawn as a dot.
    if (!pen && (line.values[place + 1] ?? null) === null) form += "h1.5";
    pen = true;
  });
  return form;
}

function last(line) {
  return line.values.findLast((value) => value !== null) ?? Number.NaN;
}

function nearest(line, time) {
  let best = null, shortest = Infinity;
  line.times.forEach((at, place) => {
    const distance = Math.abs(at - time);
    if (distance < shortest && line.values[place] !== null) [best, shortest] = [line.values[place], distance];
  });
  return best;
}

function nice(value, unit) {
  if (unit === "share") return Math.max(1, value);
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
