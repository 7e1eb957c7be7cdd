// Searchable list of requests, jobs and other traces, the newest or the slowest first. While it is
// being read no row moves: a button, always in sight, shows what came in.

import { get } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { duration, plural, time } from "../format.js";
import { announce, cell, choice, heading, requestState, rootCause, route, service } from "../parts.js";
import { isBeingRead } from "../reading.js";
import { recordingSwitch } from "../recording.js";
import { earlierRun, runName } from "../runs.js";

const PAGE = 100;
const MAX_PAGE = 200; // of the API
const STATES = ["is:failed", "is:trouble"];
const COLUMNS = [
  ["Time"], ["Request"], ["Status"], ["Duration", "num"], ["Root cause"], ["Services"], ["Spans", "num"],
];

export const requestsView = {
  name: "requests",
  title: "Requests",
  topics: ["traces"],
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let items = []; // the rows
    let more = false; // whether older ones exist
    let news = null; // the first page with traces that wait
    let latest = { run: 0, runs: [] }; // the last response
    let isShown = false;
    let isPaused = false;
    let isLoading = false;

    const filters = h("div", { class: "filters" });
    const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => togglePause() }, "Pause");
    const note = h("p", { class: "note" });
    const label = h("div", { class: "label" });
    const fresh = h("button", {
      class: "fresh", type: "button", hidden: true, "aria-keyshortcuts": "n", onclick: (event) => showNews(event),
    });
    const body = h("tbody", { data: { rows: "" } });
    const next = h("button", { type: "button", class: "more", hidden: true, onclick: () => loadOlder() }, "Older");
    const head = h("tr", {}, COLUMNS.map(([name, kind]) => h("th", { scope: "col", class: kind }, name)));
    root.append(
      heading("Requests", note, recordingSwitch(signal)),
      filters,
      label,
      h("div", { class: "fresh-bar" }, fresh),
      h("div", { class: "scroll-x" }, h("table", { class: "requests cards" }, h("thead", {}, head), body)),
      next,
    );

    const parameters = () => Object.fromEntries(
      ["q", "kind", "run", "order"].filter((name) => route.query.has(name)).map((name) => [name, route.query.get(name)]),
    );
    const read = (more_) => get("requests", { ...parameters(), limit: PAGE, ...more_ }, signal);
    const run = () => Number(route.query.get("run") ?? latest.run);

    function address(name, value, standard) {
      const query = new URLSearchParams(location.search);
      if (value === standard) query.delete(name);
      else query.set(name, value);
      return `/requests${query.size ? `?${query}` : ""}`;
    }

    const change = (...choice_) => route.go(address(...choice_));

    function showFilters() {
      const { query } = route;
      const form = JSON.stringify([query.toString(), latest.run, latest.runs.map((each) => each.run)]);
      if (filters.dataset.form === form) return;
      filters.dataset.form = form;
      const held = filters.contains(document.activeElement) ? document.activeElement.name : "";
      const words = query.get("q")?.split(/\s+/) ?? [];
      fill(
        filters,
        choice("kind", "Kind of trace", [["request", "Requests"], ["job", "Jobs"], ["other", "Other"], ["", "All"]],
          query.get("kind") ?? "request", (value) => change("kind", value, "request")),
        choice("state", "Outcome", [["", "Any outcome"], ["is:trouble", "Trouble"], ["is:failed", "Failed"]],
          words.find((word) => STATES.includes(word)) ?? "", (value) => {
            const rest = words.filter((word) => word && !STATES.includes(word));
            change("q", [...rest, value].filter(Boolean).join(" "), "");
          }),
        choice("order", "Order", [["started", "Newest"], ["duration", "Slowest"]],
          query.get("order") ?? "started", (value) => change("order", value, "started")),
        (latest.runs.length > 1 || run() !== latest.run) && runSelect(),
        pause,
      );
      if (held) filters.querySelector(`select[name="${held}"], [name="${held}"]:checked`)?.focus();
      const old = earlierRun(run(), latest, address("run", "", ""));
      fill(label, old);
      document.title = `Requests${old ? " of an earlier run" : ""} · Twelvefold`;
    }

    function runSelect() {
      const stored = latest.runs.map((each) => [each.run, each.run === latest.run ? "this run" : runName(each)]);
      const known = stored.some(([number]) => number === run());
      const options = known ? stored : [...stored, [run(), "a run that is no longer stored"]];
      return h(
        "label",
        { class: "select" },
        h("span", { class: "sr" }, "Run of the stack"),
        h("select", { name: "run", onchange: (event) => change("run", event.target.value, String(latest.run)) },
          options.map(([number, name]) =>
            h("option", { value: number, selected: number === run() }, name[0].toUpperCase() + name.slice(1)))),
      );
    }

    function show() {
      keyed(body, items, (item) => item.trace_id, row);
      next.hidden = !more;
      isShown = true;
      fill(
        note,
        items.length ? `${plural(items.length, "trace")}${more ? " and more" : ""}` : nothing(),
        latest.unknown.length > 0 && h("span", { class: "bad-text" }, ` Not a condition, searched as text: ${latest.unknown.join(" ")}`),
      );
    }

    const nothing = () => (route.query.size ? "No trace matches in this run." : "No request yet.");

    // Takes a first page as the list, with the older rows that follow on it.
    function accept(found) {
      const known = new Set(found.items.map((item) => item.trace_id));
      const order = route.query.get("order") ?? "started";
      const last = found.items.at(-1);
      const follows = found.more && items.some((item) => known.has(item.trace_id));
      const rest = follows ? items.filter((item) => !known.has(item.trace_id) && item[order] <= last[order]) : [];
      if (!rest.length) more = found.more;
      items = [...found.items, ...rest];
      offer(null, 0);
      show();
    }

    // Shows new data only in rows that are there.
    function update(found) {
      const known = new Map(found.items.map((item) => [item.trace_id, item]));
      items = items.map((item) => known.get(item.trace_id) ?? item);
      show();
    }

    function offer(found, count) {
      if (found && !news) announce(`${plural(count, "new trace")}, key n shows them`);
      news = found;
      fresh.hidden = !news;
      fresh.textContent = `Show ${count === PAGE ? "more than " : ""}${plural(count, "new trace")}`;
    }

    function showNews(event) {
      const byKey = event.detail === 0;
      accept(news);
      scrollTo(0, 0);
      if (byKey) body.querySelector("a")?.focus({ preventScroll: true });
    }

    function togglePause() {
      isPaused = !isPaused;
      pause.setAttribute("aria-pressed", String(isPaused));
      pause.textContent = isPaused ? "Continue" : "Pause";
      if (!isPaused) refresh();
    }

    async function loadOlder() {
      if (isLoading) return;
      isLoading = true;
      try {
        const found = await read({ after: items.at(-1)?.position });
        const known = new Set(items.map((item) => item.trace_id));
        items = [...items, ...found.items.filter((item) => !known.has(item.trace_id))];
        more = found.more;
        show();
      } finally {
        isLoading = false;
      }
    }

    // Reads the rows that were listed when this entry of the history was left.
    async function restore({ since, rows }) {
      let found = null;
      do {
        const after = found?.items.at(-1).position;
        found = await read({ since: after ? null : since, after, limit: Math.min(MAX_PAGE, rows - items.length) });
        items = [...items, ...found.items];
      } while (found.more && items.length < rows);
      ({ more } = found);
      latest = found;
      show();
    }

    async function refresh() {
      const at = route;
      const left = route.restore;
      route.restore = null;
      if (left?.content) await restore(left.content);
      const found = await read();
      if (at !== route) return; // the filter was changed in the meantime
      latest = found;
      showFilters();
      const known = new Set(items.map((item) => item.trace_id));
      const count = found.items.filter((item) => !known.has(item.trace_id)).length;
      const isRead = isPaused || left?.scroll > 0 || isBeingRead(body) || fresh.matches(":hover, :focus");
      if (isShown && isRead) {
        update(found);
        if (count) offer(found, count);
      } else accept(found);
    }

    return {
      follow(route_) {
        route = route_;
        items = [];
        isShown = false;
        showFilters();
        return refresh().then(() => announce(note.textContent));
      },
      refresh,
      snapshot: () => (items.length ? { since: items[0].position, rows: items.length } : null),
    };
  },
};

// Length of a duration's bar, logarithmic from 0.1 ms to 10 s and the same in every list.
const share = (ns) => Math.min(1, Math.max(0.02, Math.log10(Math.max(ns, 1) / 1e5) / 5));

function row(item) {
  return h(
    "tr",
    { class: item.state, data: { id: item.trace_id } },
    cell("Time", { class: "when" }, time(item.started, { fraction: true })),
    cell(
      "Request",
      { class: "what title" },
      h("a", { href: `/traces/${item.trace_id}`, class: "row-link", data: { row: "" } }, route(item)),
      !item.complete && h("span", { class: "faint" }, " (incomplete)"),
    ),
    cell("Status", {}, requestState(item)),
    cell("Duration", { class: "num took" }, duration(item.duration), h("span", { class: "micro", style: { "--share": String(share(item.duration)) } })),
    cell("Root cause", { class: "look" }, rootCause(item.culprit, { brief: true })),
    cell("Services", {}, h("span", { class: "services" }, item.services.map((name) => service(name)))),
    cell("Spans", { class: "num" }, String(item.spans), item.lost > 0 && h("span", { class: "faint" }, ` +${item.lost}`)),
  );
}
