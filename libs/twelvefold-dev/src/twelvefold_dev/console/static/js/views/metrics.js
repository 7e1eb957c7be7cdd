// Metrics as small charts: the golden signals first, then all metrics of the services.

import { get } from "../api.js";
import { chart } from "../chart.js";
import { fill, h } from "../dom.js";
import { choice, heading } from "../parts.js";

const SPANS = [["300", "5 min"], ["900", "15 min"], ["3600", "1 h"]];
// Each chart shows the lines of one family with one `what`, summed by the result of `by`.
const SIGNALS = [
  { title: "Requests by status", family: "http_requests_total", what: "rate", unit: "rate", by: (line) => `${line.labels.status?.[0] ?? "?"}xx` },
  { title: "Latency of requests", family: "http_request_duration_seconds", quantiles: true, unit: "seconds" },
  { title: "Calls to other services", family: "client_request_duration_seconds", quantiles: true, unit: "seconds" },
  { title: "Event loop lag, p95", family: "event_loop_lag_seconds", what: "p95", unit: "seconds", by: (line) => line.process },
  { title: "Processor", family: "process_cpu_seconds_total", what: "rate", unit: "share", by: (line) => line.process },
  { title: "Memory", family: "process_resident_memory_bytes", what: "value", unit: "bytes", by: (line) => line.process },
  { title: "Cache by outcome", family: "cache_requests_total", what: "rate", unit: "rate", by: (line) => line.labels.outcome },
  { title: "Jobs that ended", family: "jobs_finished_total", what: "rate", unit: "rate", by: (line) => line.labels.status },
  { title: "Jobs that are due", family: "jobs_due", what: "value", unit: "number", by: (line) => line.labels.queue },
  { title: "Age of the oldest due job", family: "jobs_queue_age_seconds", what: "value", unit: "seconds", by: (line) => line.labels.queue },
];

export const metricsView = {
  name: "metrics",
  title: "Metrics",
  topics: ["processes"],
  mount(root, _route, signal) {
    let span = 300;
    let words = "";
    const open = new Set(); // the unfolded families
    const signals = h("div", { class: "charts" });
    const all = h("div", { class: "families" });
    const find = h("input", {
      type: "search", id: "metric-words", placeholder: "Part of a name", autocomplete: "off", spellcheck: "false",
      oninput: () => {
        words = find.value.trim().toLowerCase();
        refresh();
      },
    });
    root.append(
      heading("Metrics", choice("span", "Time", SPANS, String(span), (value) => {
        span = Number(value);
        refresh();
      })),
      h("section", { "aria-labelledby": "signals" }, h("h2", { id: "signals" }, "Signals"), signals),
      h("section", { "aria-labelledby": "everything" },
        h("div", { class: "heading" }, h("h2", { id: "everything" }, "Everything"), h("label", { class: "sr", for: "metric-words" }, "Find a metric"), find),
        all),
    );

    async function refresh() {
      if (signals.matches(":hover") && signals.childElementCount) return; // the user reads a chart
      const [{ families }, found] = await Promise.all([
        get("metrics", {}, signal),
        get("metrics/series", { families: [...new Set([...SIGNALS.map((one) => one.family), ...open])].join() }, signal),
      ]);
      const drawn = SIGNALS.map((one) => [one, linesOf(one, found)]).filter(([, lines]) => lines.length);
      fill(signals, drawn.length
        ? drawn.map(([one, lines]) => chart({ ...one, help: families.find((each) => each.name === one.family)?.help, lines }, span))
        : h("p", { class: "nothing" }, "No metrics were received yet."));
      showFamilies(families, found);
    }

    function showFamilies(families, found) {
      const fit = families.filter((family) => !words || `${family.name} ${family.help}`.toLowerCase().includes(words));
      const held = all.contains(document.activeElement) ? document.activeElement.closest("details")?.dataset.name : null;
      fill(all, fit.map((family) => h(
        "details",
        {
          open: open.has(family.name), data: { name: family.name },
          ontoggle: (event) => {
            const now = event.currentTarget.open;
            if (now === open.has(family.name)) return;
            if (now) open.add(family.name);
            else open.delete(family.name);
            if (now) refresh();
          },
        },
        h("summary", {}, h("code", {}, family.name), h("span", { class: "faint" }, ` ${family.type}`), h("span", { class: "family-help" }, family.help)),
        open.has(family.name) && h("div", { class: "charts" }, chartsOf(family, found).map((one) => chart(one, span))),
      )));
      if (held) all.querySelector(`details[data-name="${CSS.escape(held)}"] summary`)?.focus({ preventScroll: true });
    }
    return { refresh };
  },
};

function linesOf(one, found) {
  const lines = found.lines.filter((line) => line.family === one.family);
  if (one.quantiles) {
    return lines
      .filter((line) => (line.what === "p50" || line.what === "p95") && !Object.keys(line.labels).length)
      .map((line) => ({ name: `${line.process} ${line.what}`, times: found.times[line.process], values: line.values }));
  }
  return sumByName(lines.filter((line) => line.what === one.what), one.by, found.times);
}

// Adds lines of the same name, since all processes are scraped at the same times.
function sumByName(lines, by, times) {
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

function chartsOf(family, found) {
  const lines = found.lines.filter((line) => line.family === family.name);
  const named = (line) => [line.process, ...Object.values(line.labels)].join(" ");
  const unit = family.name.includes("seconds") ? "seconds" : family.name.includes("bytes") ? "bytes" : "number";
  const kinds = family.type === "histogram" ? [["rate", "rate"], ["p50", unit], ["p95", unit]] : family.type === "counter" ? [["rate", "rate"]] : [["value", unit]];
  return kinds.map(([what, each]) => ({
    title: what === "value" ? family.name : `${family.name}, ${what}`,
    unit: each,
    lines: lines.filter((line) => line.what === what).map((line) => ({ name: named(line), times: found.times[line.process], values: line.values })),
  }));
}
