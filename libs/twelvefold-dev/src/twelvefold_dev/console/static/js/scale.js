// From a time within a trace to a place on the screen. A job may run minutes after its request:
// stretches in which nothing happens are cut short, and told.

const WORTH = 0.12; // of the whole, from which an idle stretch is cut
const CUT = 0.035; // of the width, that is left of it

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
    if (to - from > Math.max(WORTH * length, work)) cuts.push([from, to]);
  }
  const left = Math.max(1, length - cuts.reduce((sum, [from, to]) => sum + (to - from), 0));
  const room = 1 - CUT * cuts.length;

  // 0 at the start, 1 at the end.
  function place(time) {
    let lost = 0;
    let passed = 0;
    for (const [from, to] of cuts) {
      if (time >= to) {
        lost += to - from;
        passed += 1;
      } else if (time > from) {
        return ((from - lost) / left) * room + CUT * (passed + (time - from) / (to - from));
      } else break;
    }
    return Math.min(1, Math.max(0, ((time - lost) / left) * room + CUT * passed));
  }

  // Round times to write above, none within a cut.
  function ticks(most) {
    const stretch = left / most;
    const power = 10 ** Math.floor(Math.log10(stretch));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= stretch);
    const found = [];
    for (let time = 0; time <= length && found.length < 200; time += step) {
      const cut = cuts.find(([from, to]) => time > from && time < to);
      if (cut) {
        time = Math.ceil(cut[1] / step) * step - step;
        continue;
      }
      const at = place(time);
      if (!found.length || at - found.at(-1).at > 0.6 / most) found.push({ time, at });
    }
    return found;
  }
  return { place, ticks, cuts: cuts.map(([from, to]) => ({ at: place(from), width: CUT, length: to - from })) };
}
