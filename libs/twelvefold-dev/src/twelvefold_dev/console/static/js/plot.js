// Plot of the requests by start and duration, with failed ones in red. The page also lists the
// requests, so the plot needs no keyboard access.

import { fill, h, svg } from "./dom.js";
import { brief, duration, moment } from "./format.js";

const HEIGHT = 132, LEFT = 56, RIGHT = 12, TOP = 10, BOTTOM = 22;
const plots = new WeakMap();

export function plot(box, dots, nothing, go) {
  if (!plots.has(box)) {
    const observer = new ResizeObserver(() => draw(box, ...plots.get(box).last));
    plots.set(box, { last: [dots, nothing], form: "" });
    observer.observe(box);
    box.addEventListener("click", (event) => {
      const id = event.target.dataset?.trace;
      if (id) go(`/traces/${id}`);
    });
    return;
  }
  const known = plots.get(box);
  known.last = [dots, nothing];
  draw(box, dots, nothing);
}

function draw(box, dots, nothing) {
  const width = Math.floor(box.clientWidth);
  if (!width) return;
  const known = plots.get(box);
  const form = `${width} ${dots.length} ${dots.at(-1)?.trace_id}`;
  if (known.form === form) return;
  known.form = form;
  if (!dots.length) {
    fill(box, h("p", { class: "nothing" }, nothing));
    return;
  }
  const times = dots.map((dot) => dot.started);
  const from = Math.min(...times), to = Math.max(Math.max(...times), from + 60e6);
  const low = Math.floor(Math.log10(Math.max(1e5, Math.min(...dots.map((dot) => dot.duration)))));
  const high = Math.max(low + 2, Math.ceil(Math.log10(Math.max(...dots.map((dot) => dot.duration), 1e6))));
  const x = (at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (ns) => {
    const share = (Math.log10(Math.max(ns, 10 ** low)) - low) / (high - low);
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
  };
  const levels = Array.from({ length: high - low + 1 }, (_, at) => 10 ** (low + at));
  const failed = dots.filter((dot) => dot.state !== "ok").length;
  fill(
    box,
    svg(
      "svg",
      {
        width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img",
        "aria-label": `${dots.length} requests by time and duration, ${failed} of them with a failure`,
      },
      levels.map((ns) => [
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(ns), y2: y(ns) }),
        svg("text", { class: "axis", x: LEFT - 8, y: y(ns) + 3.5, "text-anchor": "end" }, brief(duration(ns))),
      ]),
      ticks(from, to, Math.max(2, Math.floor(width / 170))).map((at, place) =>
        svg("text", { class: "axis", x: x(at), y: HEIGHT - 5, "text-anchor": place ? "middle" : "start" }, moment(new Date(at / 1000)))),
      dots.map((dot) =>
        svg(
          dot.state === "failed" ? "rect" : "circle",
          {
            class: `dot ${dot.state}`, data: { trace: dot.trace_id },
            ...(dot.state === "failed"
              ? { x: x(dot.started) - 3.4, y: y(dot.duration) - 3.4, width: 6.8, height: 6.8, rx: 1 }
              : { cx: x(dot.started), cy: y(dot.duration), r: 3.6 }),
          },
          svg("title", {}, `${dot.method ?? ""} ${dot.route} ${dot.status ?? ""} ${duration(dot.duration)}`),
        )),
    ),
  );
}

function ticks(from, to, count) {
  return Array.from({ length: count }, (_, at) => from + ((to - from) * at) / count);
}
