// Maps times within a trace to positions on the screen. A job may run minutes after its request, so
// long idle intervals are shortened and marked.

const MIN_CUT_SHARE = 0.12; // of the trace's length, above which an idle interval is shortened
const CUT_WIDTH = 0.035; // of the total width, which a shortened interval keeps

export function makeScale(spans, length) {
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
  const left = Math.max(1, length - cuts.reduce((sum, [from, to]) => sum + (to - from), 0));
  const room = 1 - CUT_WIDTH * cuts.length;

  // Returns 0 for the start and 1 for the end.
  function place(time) {
    let lost = 0;
    let passed = 0;
    for (const [from, to] of cuts) {
      if (time >= to) {
        lost += to - from;
        passed += 1;
      } else if (time > from) {
        return ((from - lost) / left) * room + CUT_WIDTH * (passed + (time - from) / (to - from));
      } else break;
    }
    return Math.min(1, Math.max(0, ((time - lost) / left) * room + CUT_WIDTH * passed));
  }

  // Returns round times for the axis, none within a shortened interval.
  function ticks(max) {
    const interval = left / max;
    const power = 10 ** Math.floor(Math.log10(interval));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= interval);
    const marks = [];
    for (let time = 0; time <= length && marks.length < 200; time += step) {
      const cut = cuts.find(([from, to]) => time > from && time < to);
      if (cut) {
        time = Math.ceil(cut[1] / step) * step - step;
        continue;
      }
      const at = place(time);
      if (!marks.length || at - marks.at(-1).at > 0.6 / max) marks.push({ time, at });
    }
    return marks;
  }
  return { place, ticks, cuts: cuts.map(([from, to]) => ({ at: place(from), width: CUT_WIDTH, length: to - from })) };
}
