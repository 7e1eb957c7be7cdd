// The queues of jobs: depth by kind, workers, the schedule of periodic jobs.

import { get, post } from "../api.js";
import { confirmAction } from "../dialog.js";
import { fill, fillList, h, keyed } from "../dom.js";
import { count, duration, plural, time } from "../format.js";
import { actionButton, cell, heading, state } from "../parts.js";

export const queuesView = {
  name: "queues",
  title: "Queues",
  topics: ["jobs", "processes"],
  mount(root, _route, signal) {
    const note = h("p", { class: "note" });
    const queues = h("div", { class: "queue-list" });
    const workers = h("tbody", { data: { rows: "" } });
    const schedule = h("tbody", { data: { rows: "" } });
    root.append(
      heading("Queues", note),
      queues,
      section("workers", "Workers", [["Process"], ["State"], ["Queue"], ["Runs", "num"], ["Slots in use", "num"]], workers),
      section("schedule", "Schedule", [["Kind"], ["Queue"], ["Every"], ["Next"], ["Last"], ["", "actions"]], schedule),
    );
    return {
      async refresh() {
        const found = await get("queues", {}, signal);
        const names = [...new Set([...found.workers, ...found.depth].map((one) => one.queue))].sort();
        keyed(queues, names.map((name) => describe(name, found)), (one) => one.name, queueBox);
        keyed(workers, found.workers, (one) => one.process, workerRow);
        fillList(schedule, found.schedule, (one) => `${one.queue} ${one.kind}`, scheduleRow, "");
        fill(note, names.length ? plural(names.length, "queue") : "No worker has reported a queue yet.");
      },
    };
  },
};

function section(id, title, columns, body) {
  return h(
    "section",
    { "aria-labelledby": id },
    h("h2", { id }, title),
    h("div", { class: "scroll-x" }, h(
      "table",
      { class: "cards" },
      h("thead", {}, h("tr", {}, columns.map(([name, kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "sr" }, "Actions"))))),
      body,
    )),
  );
}

function describe(name, { depth, workers }) {
  const own = workers.filter((one) => one.queue === name);
  const pausable = own.filter((one) => one.pausable);
  return {
    name,
    kinds: depth.filter((one) => one.queue === name),
    pausable: pausable.length > 0,
    paused: pausable.length > 0 && pausable.every((one) => one.state === "stopped"),
    workers: own.length,
  };
}

function queueBox(queue) {
  const sum = (name) => queue.kinds.reduce((all, one) => all + one[name], 0);
  const oldest = Math.max(0, ...queue.kinds.map((one) => one.oldest_due_seconds ?? 0));
  return h(
    "section",
    { class: "queue", "aria-label": `Queue ${queue.name}` },
    h(
      "div",
      { class: "heading" },
      h("h2", { class: "mono" }, queue.name),
      queue.paused ? state("stopped", "paused") : state(queue.workers ? "ok" : "silent", queue.workers ? "works" : "no worker"),
      h("span", { class: "queue-action" }, queue.pausable
        ? actionButton(queue.paused ? "Resume" : "Pause", () => toggle(queue), {
          of: `queue ${queue.name}`,
          title: "Pausing stops the worker's processes in order: running jobs finish or are released, due jobs wait.",
        })
        : queue.workers > 0 && h("span", { class: "faint" }, "Its processes also serve requests: stop them on the page Stack.")),
    ),
    h("ul", { class: "tally" }, [["due", "due"], ["later", "scheduled"], ["running", "running"], ["failed", "will be retried"], ["dead", "dead"]].map(([key, text]) =>
      h("li", {}, h("b", { class: key === "dead" && sum(key) ? "bad-text" : null }, count(sum(key))), ` ${text}`))),
    oldest > 1 && h("p", { class: "note" }, `The oldest due job waits since ${duration(oldest * 1e9)}.`),
    queue.kinds.length > 0 && h("div", { class: "scroll-x" }, h(
      "table",
      { class: "cards" },
      h("thead", {}, h("tr", {}, [["Kind"], ["Due", "num"], ["Oldest due", "num"], ["Scheduled", "num"], ["Next run"], ["Running", "num"], ["Dead", "num"], ["", "actions"]].map(([name, kind]) =>
        h("th", { scope: "col", class: kind }, name || h("span", { class: "sr" }, "Actions"))))),
      h("tbody", { data: { rows: "" } }, queue.kinds.map(kindRow)),
    )),
  );
}

async function toggle(queue) {
  await post(`queues/${encodeURIComponent(queue.name)}/${queue.paused ? "resume" : "pause"}`);
  return queue.paused ? `${queue.name} works again` : `${queue.name} is paused`;
}

function kindRow(one) {
  return h(
    "tr",
    {},
    cell("Kind", { class: "title" }, h("a", { class: "mono", href: `/jobs?kind=${encodeURIComponent(one.kind)}`, data: { row: "" } }, one.kind)),
    cell("Due", { class: "num" }, count(one.due)),
    cell("Oldest due", { class: "num" }, one.oldest_due_seconds === null ? "–" : duration(one.oldest_due_seconds * 1e9)),
    cell("Scheduled", { class: "num" }, count(one.later)),
    cell("Next run", {}, time(one.next_run)),
    cell("Running", { class: "num" }, count(one.running)),
    cell("Dead", { class: "num" }, one.dead ? h("a", { class: "bad-text", href: `/jobs?status=dead&kind=${encodeURIComponent(one.kind)}` }, count(one.dead)) : "0"),
    cell("", { class: "actions" }, one.dead > 0 && retryAllButton("dead", one.kind, one.dead)),
  );
}

// Returns a button that retries all jobs of a state, and of a kind unless that is empty.
export function retryAllButton(status, kind, jobs) {
  return actionButton(`Retry all ${count(jobs)}…`, async () => {
    const which = `${count(jobs)} ${status} ${kind ? `${kind} ` : ""}${jobs === 1 ? "job" : "jobs"}`;
    if (!await confirmAction(`Retry ${which}?`, "They are queued again and run as soon as a worker is free, the oldest first, at most 500 at a time.", "Retry")) return null;
    const { retried } = await post("jobs/retry", { status, kind });
    return `${plural(retried, "job")} queued again`;
  }, { of: `${status} ${kind}` });
}

function workerRow(one) {
  return h(
    "tr",
    {},
    cell("Process", { class: "title mono" }, h("a", { href: `/logs?source=${encodeURIComponent(one.process)}`, data: { row: "" } }, one.process)),
    cell("State", {}, state(one.state)),
    cell("Queue", { class: "mono" }, one.queue),
    cell("Runs", { class: "num" }, plural(one.running, "job")),
    cell("Slots in use", { class: "num" }, one.slots === null ? "–" : `${count(one.slots_used ?? 0)} of ${count(one.slots)}`),
  );
}

function scheduleRow(one) {
  return h(
    "tr",
    {},
    cell("Kind", { class: "title" }, h("a", { class: "mono", href: `/jobs?kind=${encodeURIComponent(one.kind)}`, data: { row: "" } }, one.kind)),
    cell("Queue", { class: "mono" }, one.queue),
    cell("Every", {}, every(one.every_seconds)),
    cell("Next", {}, time(one.next)),
    cell("Last", {}, one.last ? [time(one.last.created_at), " ", state(one.last.status)] : h("span", { class: "faint" }, "not yet")),
    cell("", { class: "actions" }, one.last && h("a", { href: `/jobs/${one.last.id}` }, "last job", h("span", { class: "sr" }, ` of ${one.kind}`))),
  );
}

function every(seconds) {
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const [unit, size] = units.find(([, each]) => seconds % each === 0) ?? units.at(-1);
  return plural(seconds / size, unit);
}
