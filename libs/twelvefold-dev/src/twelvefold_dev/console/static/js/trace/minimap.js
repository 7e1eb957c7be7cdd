// The whole trace in a strip: every span, the window of the zoom, and the rows on the screen. A drag
// zooms to what it covers, a click goes there. Without keyboard access, since the buttons beside it
// and the keys of the tree do the same.

import { h, svg } from "../dom.js";
import { hue } from "../parts.js";
import { onDrag } from "./zoom.js";

const WIDTH = 1000, HEIGHT = 100; // of the drawing, which is stretched to its place
const MATCH_WIDTH = 14; // of the marks of a search, at the left edge

export function makeMinimap({ spans, scale, zoom, onclick }) {
  const row = HEIGHT / Math.max(1, spans.length);
  const lines = new Map(); // drawing commands by class, so that the number of elements is small
  spans.forEach((span, at) => add(span.failed ? "failed" : `hue-${hue(span.service)}`, span, at));
  const matched = svg("path", { class: "minimap-match", "vector-effect": "non-scaling-stroke" });
  const before = svg("rect", { class: "minimap-shade", y: 0, height: HEIGHT, x: 0 });
  const after = svg("rect", { class: "minimap-shade", y: 0, height: HEIGHT });
  const screen = svg("rect", { class: "minimap-screen", x: 0, width: WIDTH });
  const thickness = Math.max(1, Math.min(4, 60 / spans.length));
  const box = h(
    "div",
    { class: "minimap", "aria-hidden": "true", title: "Drag to zoom, click to go there" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none" },
      screen,
      [...lines].sort(([name]) => (name === "failed" ? 1 : -1)).map(([name, commands]) =>
        svg("path", { class: `minimap-${name}`, d: commands.join(""), "stroke-width": thickness, "vector-effect": "non-scaling-stroke" })),
      matched, before, after,
    ),
  );
  onDrag(box, { onrange: (from, to) => zoom.set([from, to]), onclick });

  function add(name, span, at) {
    const from = scale.place(span.start) * WIDTH;
    const width = Math.max(1.5, scale.place(span.start + span.length) * WIDTH - from);
    if (!lines.has(name)) lines.set(name, []);
    lines.get(name).push(`M${from.toFixed(1)} ${((at + 0.5) * row).toFixed(2)}h${width.toFixed(1)}`);
  }

  return {
    box,
    showWindow([from, to]) {
      before.setAttribute("width", from * WIDTH);
      after.setAttribute("x", to * WIDTH);
      after.setAttribute("width", (1 - to) * WIDTH);
    },
    // The first and the last row on the screen, as shares of all.
    showScreen(from, to) {
      screen.setAttribute("y", from * HEIGHT);
      screen.setAttribute("height", Math.max(0, to - from) * HEIGHT);
    },
    showMatches(found) {
      matched.setAttribute("d", spans.flatMap((span, at) => (found.has(span.id) ? `M0 ${((at + 0.5) * row).toFixed(2)}h${MATCH_WIDTH}` : [])).join(""));
    },
  };
}
