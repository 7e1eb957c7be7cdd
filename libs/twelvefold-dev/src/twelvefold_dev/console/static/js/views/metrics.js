// Metrics as small charts: the golden signals first, then all metrics of the services.

import { get } from "../api.js";
import { chart } from "../chart.js";
import { fill, h } from "../dom.js";
import { latestScrape, matches, parseLabels, suggestions, sumByName } from "../lines.js";
import { choice, heading } from "../parts.js";

const SPANS = [["300", "5 min"], ["900", "15 min"], ["3600", "1 h"]];
const DEFAULTS = { span: "300", labels: "", find: "" };
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
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let typing = null;
    const open = new Set(); // the unfolded families
    const value = (name) => route.query.get(name) ?? DEFAULTS[name];
    const signals = h("div", { class: "charts" });
    const all = h("div", { class: "families" });
    const known = h("datalist", { id: "known-labels" });
    const spans = h("div", {});
    const note = h("p", { class: "note", role: "status" });
    const labels = field("labels", "Filter by label", "handler=/images status=5 process=api", { list: "known-labels" });
    const find = field("find", "Find a metric", "Part of a name");
    root.append(
      heading("Metrics", note),
      h("div", { class: "filters" }, spans, h("label", { class: "sr", for: "metric-labels" }, "Filter by label"), labels, known),
      h("section", { "aria-labelledby": "signals" }, h("h2", { id: "signals" }, "Signals"), signals),
      h("section", { "aria-labelledby": "everything" },
        h("div", { class: "heading" }, h("h2", { id: "everything" }, "Everything"), h("label", { class: "sr", for: "metric-find" }, "Find a metric"), find),
        all),
    );
    showSpans();

    function field(name, title, placeholder, more = {}) {
      const input = h("input", {
        type: "search", id: `metric-${name}`, placeholder, title, autocomplete: "off", spellcheck: "false", ...more,
        oninput: () => {
          clearTimeout(typing);
          typing = setTimeout(() => change(name, input.value.trim()), 250);
        },
      });
      input.value = value(name);
      return input;
    }

    function change(name, next) {
      const query = new URLSearchParams(location.search);
      if (next === DEFAULTS[name]) query.delete(name);
      else query.set(name, next);
      route.go(`/metrics${query.size ? `?${query}` : ""}`, { replace: name !== "span" });
    }

    function showSpans() {
      fill(spans, choice("span", "Time", SPANS, value("span"), (next) => change("span", next)));
    }

    async function refresh({ asked = false } = {}) {
      if (!asked && signals.matches(":hover") && signals.childElementCount) return; // the user reads a chart
      const [{ families }, found] = await Promise.all([
        get("metrics", {}, signal),
        get("metrics/series", { families: [...new Set([...SIGNALS.map((one) => one.family), ...open])].join() }, signal),
      ]);
      show(families, found);
    }

    function show(families, everything) {
      const conditions = parseLabels(value("labels"));
      const fit = (one) => matches(one, conditions);
      const found = { ...everything, lines: everything.lines.filter(fit), exemplars: everything.exemplars.filter(fit) };
      const to = Date.now() / 1000;
      const range = { from: to - (Number(value("span")) || 300), to, latest: latestScrape(found.times) };
      const drawn = SIGNALS.map((one) => [one, linesOf(one, found, conditions.length > 0)]).filter(([, lines]) => lines.length);
      fill(known, suggestions(everything.lines).map((word) => h("option", { value: word })));
      fill(note, conditions.length > 0 && !found.lines.length ? "No series fits these labels." : "");
      fill(signals, drawn.length
        ? drawn.map(([one, lines]) => chart({
          ...one, help: families.find((each) => each.name === one.family)?.help, lines,
          exemplars: found.exemplars.filter((each) => each.family === one.family && one.quantiles),
        }, range, route.go))
        : h("p", { class: "nothing" }, conditions.length ? "No series fits these labels." : "No metrics were received yet."));
      showFamilies(families, found, range);
    }

    function showFamilies(families, found, range) {
      const words = value("find").toLowerCase();
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
            if (now) refresh({ asked: true });
          },
        },
        h("summary", {}, h("code", {}, family.name), h("span", { class: "faint" }, ` ${family.type}`), h("span", { class: "family-help" }, family.help)),
        open.has(family.name) && h("div", { class: "charts" }, chartsOf(family, found).map((one) => chart(one, range, route.go))),
      )));
      if (held) all.querySelector(`details[data-name="${CSS.escape(held)}"] summary`)?.focus({ preventScroll: true });
    }

    return {
      follow(route_) {
        route = route_;
        showSpans();
        for (const [name, input] of [["labels", labels], ["find", find]]) if (document.activeElement !== input) input.value = value(name);
        refresh({ asked: true });
        return true;
      },
      refresh,
    };
  },
};

function linesOf(one, found, filtered) {
  const lines = found.lines.filter((line) => line.family === one.family);
  if (one.quantiles) {
    // The quantiles over all series of a process, or those of the series that were chosen.
    return lines
      .filter((line) => (line.what === "p50" || line.what === "p95") && (filtered || !Object.keys(line.labels).length))
      .map((line) => ({ name: [line.process, ...Object.values(line.labels), line.what].join(" "), times: found.times[line.process], values: line.values }));
  }
  return sumByName(lines.filter((line) => line.what === one.what), one.by, found.times);
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
    exemplars: what === "p95" ? found.exemplars.filter((one) => one.family === family.name) : [],
  }));
}
