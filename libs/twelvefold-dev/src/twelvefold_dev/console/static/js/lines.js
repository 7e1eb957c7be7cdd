// Selection of the lines of metrics: by label, by range, and their names.

// Reads conditions such as `handler=/images status=5 process=api`. Each value is part of the label's;
// a word without `=` is part of any label's value.
export function parseLabels(text) {
  return text.split(/\s+/).filter(Boolean).map((word) => {
    const [name, ...rest] = word.split("=");
    return rest.length ? { name, part: rest.join("=").toLowerCase() } : { name: null, part: word.toLowerCase() };
  });
}

// Returns whether a line, or an exemplar, fulfils all conditions.
export function matches(line, conditions) {
  const labels = { ...line.labels, process: line.process };
  return conditions.every(({ name, part }) => {
    const values = name === null ? Object.values(labels) : [labels[name]];
    return values.some((value) => value?.toLowerCase().includes(part));
  });
}

// Returns the conditions that can be typed for these lines, at most 200.
export function suggestions(lines) {
  const words = new Set();
  for (const line of lines) {
    words.add(`process=${line.process}`);
    for (const [name, value] of Object.entries(line.labels)) if (value && !/\s/.test(value)) words.add(`${name}=${value}`);
  }
  return [...words].sort().slice(0, 200);
}

// Adds lines of the same name, since all processes are scraped at the same times.
export function sumByName(lines, by, times) {
  const sums = new Map();
  for (const line of lines) {
    const name = by(line) ?? "all";
    if (!sums.has(name)) sums.set(name, new Map());
    const sum = sums.get(name);
    line.values.forEach((value, place) => {
      const at = times[line.process][place];
      sum.set(at, value === null ? sum.get(at) ?? null : (sum.get(at) ?? 0) + value);
    });
  }
  return [...sums].map(([name, sum]) => {
    const points = [...sum].sort((a, b) => a[0] - b[0]);
    return { name, times: points.map(([at]) => at), values: points.map(([, value]) => value) };
  });
}

// Returns the time of the scrape before the last one: a line without a value since then is past.
export function latestScrape(times) {
  const last = Math.max(...Object.values(times).map((each) => each.at(-1) ?? 0), 0);
  return last - 5;
}
