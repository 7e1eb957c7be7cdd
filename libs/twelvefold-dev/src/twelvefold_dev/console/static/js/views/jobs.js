// Jobs by status and kind, and their actions.

import { get, post } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { coarse, count, plural, time } from "../format.js";
import { announce, cell, choice, heading, state, toast } from "../parts.js";
import { isInUse, onLeave } from "../reading.js";
import { retryAllButton } from "./queues.js";

const STATES = ["dead", "failed", "running", "queued", "rejected", "cancelled", "succeeded"];
const RETRYABLE = new Set(["failed", "dead", "rejected", "cancelled"]);
const CANCELLABLE = new Set(["queued", "failed", "running"]);
const PAGE = 50;

export const jobsView = {
  name: "jobs",
  title: "Jobs",
  topics: ["jobs"],
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let limit = route_.restore?.content?.limit ?? PAGE;
    let known = null; // the ids of the rows
    let waiting = 0; // new jobs that wait until the list is left
    const note = h("p", { class: "note" });
    const filters = h("div", { class: "filters" });
    const body = h("tbody", { data: { rows: "" } });
    const next = h("button", {
      type: "button", class: "more", hidden: true,
      onclick: () => {
        limit = Math.min(200, limit + PAGE);
        refresh();
      },
    }, "Older");
    root.append(
      heading("Jobs", note),
      filters,
      h("div", { class: "scroll-x" }, h(
        "table",
        { class: "jobs cards" },
        h("thead", {}, h("tr", {}, [
          ["Created"], ["Kind"], ["State"], ["Failed attempts", "num"], ["Waited", "num"], ["Ran", "num"], ["Error"], ["", "actions"],
        ].map(([name, kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "sr" }, "Actions"))))),
        body,
      )),
      next,
    );

    function change(name, value) {
      const query = new URLSearchParams(location.search);
      if (value) query.set(name, value);
      else query.delete(name);
      route.go(`/jobs${query.size ? `?${query}` : ""}`);
    }

    async function refresh() {
      const status = route.query.get("status") ?? "";
      const kind = route.query.get("kind") ?? "";
      const found = await get("jobs", { status, kind, limit }, signal);
      const sums = {};
      const kinds = new Set(kind ? [kind] : []);
      for (const one of found.counts) {
        kinds.add(one.kind);
        if (!kind || one.kind === kind) sums[one.status] = (sums[one.status] ?? 0) + one.jobs;
      }
      const total = Object.values(sums).reduce((sum, one) => sum + one, 0);
      const form = JSON.stringify([sums, [...kinds].sort(), status, kind]);
      if (filters.dataset.form !== form && !filters.matches(":focus-within")) {
        filters.dataset.form = form;
        fill(
          filters,
          choice("status", "State", [["", "All", count(total)], ...STATES.filter((name) => sums[name] || name === status).map((name) => [name, name, count(sums[name] ?? 0)])], status, (value) => change("status", value)),
          h("label", { class: "select" }, h("span", { class: "sr" }, "Kind"), h(
            "select",
            { onchange: (event) => change("kind", event.target.value) },
            h("option", { value: "" }, "All kinds"),
            [...kinds].sort().map((name) => h("option", { value: name, selected: name === kind }, name)),
          )),
          RETRYABLE.has(status) && sums[status] > 0 && retryAllButton(status, kind, sums[status]),
        );
      }
      const items = known && isInUse(body) ? found.items.filter((job) => known.has(job.id)) : found.items;
      known = new Set(items.map((job) => job.id));
      waiting = found.items.length - items.length;
      keyed(body, items, (job) => job.id, jobRow);
      next.hidden = found.items.length < limit || limit >= 200;
      fill(
        note,
        found.items.length ? plural(total, "job") : "No job matches.",
        waiting > 0 && `, ${plural(waiting, "new job")} shown once you leave the list`,
      );
    }

    onLeave(body, () => waiting > 0 && refresh());

    return {
      follow(route_) {
        route = route_;
        limit = route_.restore?.content?.limit ?? PAGE;
        known = null;
        filters.dataset.form = "";
        return refresh().then(() => announce(note.textContent));
      },
      refresh,
      snapshot: () => ({ limit }),
    };
  },
};

function jobRow(job) {
  return h(
    "tr",
    { class: job.status },
    cell("Created", { class: "when" }, time(job.created_at)),
    cell("Kind", { class: "title" }, h("a", { href: `/jobs/${job.id}`, class: "row-link mono", data: { row: "" } }, job.kind)),
    cell("State", {}, jobState(job)),
    cell("Failed attempts", { class: "num" }, `${job.attempts}`, job.max_attempts && h("span", { class: "faint" }, ` of ${job.max_attempts}`)),
    cell("Waited", { class: "num" }, between(job.run_at, job.started_at)),
    cell("Ran", { class: "num" }, between(job.started_at, job.finished_at)),
    cell("Error", { class: "look" }, job.error && h("span", { class: "bad-text", title: job.error }, job.error)),
    cell("", { class: "actions" }, actions(job)),
  );
}

export function jobState(job) {
  return h(
    "span",
    {},
    state(job.status),
    job.status === "running" && job.progress > 0 && h("span", { class: "faint" }, ` ${job.progress} %`),
    job.cancel_requested && job.status === "running" && h("span", { class: "faint" }, " cancel requested"),
  );
}

export function between(from, to) {
  if (!from || !to) return "–";
  return coarse(Math.max(0, new Date(to) - new Date(from)));
}

export function actions(job) {
  const name = `${job.kind} of ${new Date(job.created_at).toLocaleTimeString("en-GB")}`;
  return [
    RETRYABLE.has(job.status) && h("button", { type: "button", onclick: act(job, "retry", "was queued again") }, "Retry", h("span", { class: "sr" }, ` ${name}`)),
    CANCELLABLE.has(job.status) && !job.cancel_requested && h("button", { type: "button", class: "quiet", onclick: act(job, "cancel", "will be cancelled") }, "Cancel", h("span", { class: "sr" }, ` ${name}`)),
  ];
}

function act(job, action, done) {
  return async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await post(`jobs/${job.id}/${action}`);
      toast(`${job.kind} ${done}`);
    } catch (error) {
      toast(error.message, "bad");
    } finally {
      button.disabled = false;
    }
  };
}
