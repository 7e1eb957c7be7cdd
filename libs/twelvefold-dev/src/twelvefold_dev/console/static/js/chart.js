// A chart of some lines over the last minutes, with the values at the pointer. Dots are exemplars:
// measured values, each of which leads to the trace of its request.

import { fill, h, svg } from "./dom.js";
import { brief, bytes, digits, moment, percent, seconds } from "./format.js";

const HEIGHT = 116, TOP = 8, BOTTOM = 22;
const MAX_LINES = 8;
const MAX_LINKS = 3; // traces that are named below a chart
const TICK_WIDTH = 92; // px for one time at the axis

const UNITS = {
  seconds, bytes,
  share: percent,
  rate: (value) => `${digits(value)}/s`,
  number: (value) => digits(value),
};

// `lines`: [{ name, times, values }], `exemplars`: [{ value, time, trace_id }], times in seconds since
// the epoch. `range`: { from, to } of the time axis; a line without a value at `latest` is past.
export function chart({ title, help, unit, lines, exemplars = [] }, { from, to, latest }, go) {
  const format = UNITS[unit];
  const within = (line) => line.values.map((value, place) => (line.times[place] >= from ? value : null));
  const peak = (line) => Math.max(...within(line).filter((value) => value !== null), -1);
  const known = lines.filter((line) => within(line).some((value) => value !== null));
  const shown = known.sort((a, b) => peak(b) - peak(a)).slice(0, MAX_LINES);
  const dots = exemplars.filter((one) => one.time >= from && one.time <= to);
  const box = h("div", { class: "chart-area" });
  const legend = h("ul", { class: "legend" });
  const at = h("span", { class: "chart-at", "aria-hidden": "true" });
  const top = nice(Math.max(...shown.map(peak), ...dots.map((one) => one.value), 0), unit);
  const current = (line) => (line.times.at(-1) >= latest ? line.values.at(-1) : null);

  function labels(place) {
    fill(legend, shown.map((line, number) => {
      const value = place === null ? current(line) : nearest(line, place);
      return h("li", { data: { line: number % MAX_LINES }, class: value === null ? "past" : null },
        h("span", { class: "legend-name", title: line.name }, line.name),
        h("b", { title: value === null ? "no value at this time" : null }, value === null ? "–" : format(value)));
    }), known.length > shown.length && h("li", { class: "faint" }, `and ${known.length - shown.length} more`));
    at.textContent = place === null ? "" : moment(new Date(place * 1000));
  }

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (!width) return;
    const x = (time) => ((time - from) / (to - from)) * width;
    const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
    const cross = svg("line", { class: "cross", y1: 0, y2: HEIGHT - BOTTOM, x1: -9, x2: -9 });
    const move = (place) => {
      cross.setAttribute("x1", place);
      cross.setAttribute("x2", place);
    };
    fill(box, svg(
      "svg",
      {
        width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
        "aria-label": `${title}: ${shown.map((line) => `${line.name} ${current(line) === null ? "none now" : format(current(line))}`).join(", ") || "no values yet"}`,
        onpointermove: (event) => {
          move(event.offsetX);
          labels(from + (event.offsetX / width) * (to - from));
        },
        onpointerleave: () => {
          move(-9);
          labels(null);
        },
        onclick: (event) => event.target.dataset?.trace && go(`/traces/${event.target.dataset.trace}`),
      },
      svg("line", { class: "grid", x1: 0, x2: width, y1: y(0), y2: y(0) }),
      svg("line", { class: "grid", x1: 0, x2: width, y1: y(top), y2: y(top) }),
      svg("text", { class: "axis", x: 2, y: y(top) + 11 }, brief(format(top))),
      ticks(from, to, Math.floor(width / TICK_WIDTH)).map(({ time, text }) => [
        svg("line", { class: "grid", x1: x(time), x2: x(time), y1: y(0), y2: y(0) + 4 }),
        svg("text", { class: "axis", x: x(time), y: HEIGHT - 5, "text-anchor": anchor(x(time), width) }, text),
      ]),
      shown.map((line, number) => svg("path", { class: "line", d: path(line, from, x, y), data: { line: number % MAX_LINES } })),
      cross,
      dots.map((one) => svg("circle", { class: "exemplar", cx: x(one.time), cy: y(Math.min(one.value, top)), r: 3.4, data: { trace: one.trace_id } },
        svg("title", {}, `${format(one.value)} at ${moment(new Date(one.time * 1000))}: open the trace`))),
    ));
  }
  labels(null);
  new ResizeObserver(draw).observe(box);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("span", { class: "chart-title", title: help || null }, title), at),
    box,
    legend,
    dots.length > 0 && h("p", { class: "exemplars" }, "Slowest traces: ", slowest(dots).map((one) =>
      h("a", { href: `/traces/${one.trace_id}` }, format(one.value), h("span", { class: "sr" }, ` at ${moment(new Date(one.time * 1000))}`)))),
  );
}

function slowest(dots) {
  const byTrace = new Map([...dots].sort((a, b) => a.value - b.value).map((one) => [one.trace_id, one]));
  return [...byTrace.values()].sort((a, b) => b.value - a.value).slice(0, MAX_LINKS);
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds

function ticks(from, to, count) {
  const step = STEPS.find((each) => (to - from) / each <= Math.max(1, count)) ?? STEPS.at(-1);
  const marks = [];
  for (let time = Math.ceil(from / step) * step; time <= to; time += step) {
    const text = moment(new Date(time * 1000));
    marks.push({ time, text: step % 60 ? text : text.slice(0, -3) });
  }
  return marks;
}

function anchor(place, width) {
  return place < 20 ? "start" : place > width - 20 ? "end" : "middle";
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

// Returns the value at the point that is nearest to `time`, or null where the line has none there.
function nearest(line, time) {
  let best = null, shortest = Infinity;
  line.times.forEach((at, place) => {
    const distance = Math.abs(at - time);
    if (distance < shortest) [best, shortest] = [line.values[place], distance];
  });
  return best;
}

function nice(value, unit) {
  if (unit === "share") return Math.max(1, value);
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= value);
}
