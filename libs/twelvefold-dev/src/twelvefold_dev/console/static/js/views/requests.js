// Searchable list of requests, jobs and other traces. New ones appear at the top. While the pointer
// is over the list, a button shows them instead, so that no row moves under the pointer.

import { get } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { duration, plural, time } from "../format.js";
import { frame } from "../frame.js";
import { recordingSwitch } from "../recording.js";
import { announce, cell, choice, heading, requestState, rootCause, route, service } from "../parts.js";

const PAGE = 100;

export const requestsView = {
  name: "requests",
  title: "Requests",
  topics: ["traces"],
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let older = []; // pages beyond the first
    let more = false;
    let waiting = null; // a first page received while the pointer was over the list
    let shown = false;

    const filters = h("div", { class: "filters" });
    const note = h("p", { class: "note" });
    const fresh = h("button", { class: "fresh", type: "button", hidden: true, onclick: () => show(waiting) });
    const body = h("tbody", { data: { rows: "" } });
    const next = h("button", { type: "button", class: "more", hidden: true, onclick: () => loadOlder() }, "Older");
    const table = h(
      "div",
      { class: "scroll-x" },
      h(
        "table",
        { class: "requests cards" },
        h("thead", {}, h("tr", {}, [
          ["Time"], ["Request"], ["Status"], ["Duration", "num"], ["Root cause"], ["Services"], ["Spans", "num"],
        ].map(([name, kind]) => h("th", { scope: "col", class: kind }, name)))),
        body,
      ),
    );
    root.append(heading("Requests", note, recordingSwitch(signal)), filters, fresh, table, next);

    const parameters = () => Object.fromEntries(
      ["q", "kind", "run", "order"].filter((name) => route.query.has(name)).map((name) => [name, route.query.get(name)]),
    );

    function change(name, value, standard) {
      const query = new URLSearchParams(location.search);
      if (value === standard) query.delete(name);
      else query.set(name, value);
      route.go(`/requests${query.size ? `?${query}` : ""}`);
    }

    function showFilters() {
      const { query } = route;
      const words = query.get("q")?.split(/\s+/) ?? [];
      const states = ["is:failed", "is:trouble"];
      const only = words.find((word) => states.includes(word)) ?? "";
      const runs = frame.latest?.runs ?? [];
      fill(
        filters,
        choice("kind", "Kind of trace", [["request", "Requests"], ["job", "Jobs"], ["other", "Other"], ["", "All"]],
          query.get("kind") ?? "request", (value) => change("kind", value, "request")),
        choice("state", "Outcome", [["", "Any outcome"], ["is:trouble", "Trouble"], ["is:failed", "Failed"]], only, (value) => {
          const rest = words.filter((word) => word && !states.includes(word));
          change("q", [...rest, value].filter(Boolean).join(" "), "");
        }),
        choice("order", "Order", [["started", "Newest"], ["duration", "Slowest"]],
          query.get("order") ?? "started", (value) => change("order", value, "started")),
        runs.length > 1 && h(
          "label",
          { class: "select" },
          h("span", { class: "sr" }, "Run of the stack"),
          h("select", { onchange: (event) => change("run", event.target.value, String(frame.latest.run)) },
            runs.map((run) => h("option", {
              value: run.run, selected: String(run.run) === (query.get("run") ?? String(frame.latest.run)),
            }, run.run === frame.latest.run ? "This run" : `Run of ${new Date(run.started * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`))),
        ),
      );
    }

    function show(found) {
      waiting = null;
      fresh.hidden = true;
      const known = new Set(found.items.map((item) => item.trace_id));
      const items = [...found.items, ...older.filter((item) => !known.has(item.trace_id))];
      if (!older.length) more = found.more;
      keyed(body, items, (item) => item.trace_id, row);
      next.hidden = !more;
      shown = true;
      fill(
        note,
        items.length ? `${plural(items.length, "trace")}${more ? " and more" : ""}` : nothing(),
        found.unknown.length > 0 && h("span", { class: "bad-text" }, ` Not a condition, searched as text: ${found.unknown.join(" ")}`),
      );
    }

    const nothing = () => (route.query.size ? "No trace matches in this run." : "No request yet.");

    async function loadOlder() {
      const last = [...body.querySelectorAll("tr")].at(-1)?.dataset.started;
      const found = await get("requests", { ...parameters(), before: last, limit: PAGE }, signal);
      older = [...older, ...found.items];
      more = found.more;
      show(await get("requests", { ...parameters(), limit: PAGE }, signal));
    }

    showFilters();
    return {
      follow(route_) {
        route = route_;
        older = [];
        shown = false;
        showFilters();
        this.refresh().then(() => announce(note.textContent));
        return true;
      },
      async refresh() {
        const found = await get("requests", { ...parameters(), limit: PAGE }, signal);
        const first = body.querySelector("tr")?.dataset.id;
        const news = found.items.findIndex((item) => item.trace_id === first);
        if (shown && news !== 0 && body.matches(":hover, :focus-within")) {
          waiting = found;
          fresh.hidden = false;
          fresh.textContent = news > 0 ? `Show ${plural(news, "new trace")}` : "Show new traces";
        } else show(found);
      },
    };
  },
};

// Length of a duration's bar, logarithmic from 0.1 ms to 10 s and the same in every list.
const share = (ns) => Math.min(1, Math.max(0.02, Math.log10(Math.max(ns, 1) / 1e5) / 5));

function row(item) {
  return h(
    "tr",
    { class: item.state, data: { id: item.trace_id, started: item.started } },
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
