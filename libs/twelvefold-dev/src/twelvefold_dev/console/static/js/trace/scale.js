// Maps times within a trace to positions on the screen, 0 for its start and 1 for its end. A job may
// run minutes after its request, so long idle intervals are shortened and marked.

import { brief, duration } from "../format.js";

const MIN_CUT_SHARE = 0.12; // of the trace's length, above which an idle interval is shortened
const CUT_WIDTH = 0.035; // of the total width, which a shortened interval keeps
const UNITS = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];

export function makeScale(spans, length) {
  const cuts = idleIntervals(spans, length);
  const left = Math.max(1, length - cuts.reduce((sum, [from, to]) => sum + (to - from), 0));
  const room = 1 - CUT_WIDTH * cuts.length;
  // Between two of these points the mapping is linear.
  const points = [{ time: 0, at: 0 }];
  for (const [from, to] of cuts) {
    const last = points.at(-1);
    const at = last.at + ((from - last.time) / left) * room;
    points.push({ time: from, at }, { time: to, at: at + CUT_WIDTH });
  }
  points.push({ time: Math.max(1, length), at: 1 });

  const place = (time) => interpolate(points, "time", "at", time);
  const timeAt = (at) => interpolate(points, "at", "time", at);

  // Returns round times for the axis of a window, none within a shortened interval.
  function ticks([from, to], max) {
    const interval = (((to - from) / room) * left) / max;
    const power = 10 ** Math.floor(Math.log10(interval));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= interval);
    const end = timeAt(to);
    const marks = [];
    for (let time = Math.ceil(timeAt(from) / step) * step; time <= end && marks.length < 200; time += step) {
      const cut = cuts.find(([since, until]) => time > since && time < until);
      if (cut) {
        time = Math.ceil(cut[1] / step) * step - step;
        continue;
      }
      const at = (place(time) - from) / (to - from);
      if (!marks.length || at - marks.at(-1).at > 0.6 / max) marks.push({ text: label(time, step), at });
    }
    return marks;
  }

  return {
    place, timeAt, ticks,
    cuts: cuts.map(([from, to]) => ({ from: place(from), to: place(to), length: to - from })),
  };
}

function idleIntervals(spans, length) {
  const busy = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    const last = busy.at(-1);
    const end = span.start + span.length;
    if (last && span.start <= last[1]) last[1] = Math.max(last[1], end);
    else busy.push([span.start, end]);
  }
  const work = busy.reduce((sum, [from, to]) => sum + (to - from), 0) || 1;
  const cuts = [];
  for (let at = 1; at < busy.length; at += 1) {
    const [from, to] = [busy[at - 1][1], busy[at][0]];
    if (to - from > Math.max(MIN_CUT_SHARE * length, work)) cuts.push([from, to]);
  }
  return cuts;
}

function interpolate(points, from, to, value) {
  const next = points.findIndex((point) => point[from] >= value);
  if (next === 0) return points[0][to];
  if (next < 0) return points.at(-1)[to];
  const [a, b] = [points[next - 1], points[next]];
  return a[to] + ((value - a[from]) / (b[from] - a[from])) * (b[to] - a[to]);
}

// Labels a time of the axis with the digits that tell it from the next one.
function label(time, step) {
  if (time === 0) return "0";
  if (step >= time / 100) return brief(duration(time));
  const [unit, size] = UNITS.find(([, each]) => time >= each) ?? UNITS.at(-1);
  return `${(time / size).toFixed(Math.max(0, Math.ceil(-Math.log10(step / size) - 1e-9)))} ${unit}`;
}
