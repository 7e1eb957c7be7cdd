// One job: its history, its errors and its traces.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { coarse, time } from "../format.js";
import { copyButton, facts, json } from "../parts.js";
import { actions, between, jobState } from "./jobs.js";
import { story } from "./overview.js";

export const jobView = {
  name: "job",
  title: "Job",
  topics: ["jobs", "traces"],
  mount(root, route, signal) {
    let form = "";
    return {
      async refresh() {
        const job = await get(`jobs/${encodeURIComponent(route.params.id)}`, {}, signal);
        const runs = await get("requests", { q: job.id, kind: "", limit: 20 }, signal);
        const next = JSON.stringify([job, runs.items]);
        if (next === form) return;
        form = next;
        document.title = `${job.kind} · Twelvefold`;
        const held = root.querySelector(".job-actions")?.contains(document.activeElement);
        fill(root, head(job), history(job), failures(job), traces(job, runs.items), contents(job));
        if (held) (root.querySelector(".job-actions button") ?? document.getElementById("main")).focus();
      },
    };
  },
};

function head(job) {
  return h(
    "header",
    { class: "trace-head" },
    h("p", { class: "crumb" }, h("a", { href: "/jobs" }, "Jobs"), " / job"),
    h("h1", {}, h("span", { class: "mono" }, job.kind), " ", jobState(job)),
    facts([
      ["Failed attempts", `${job.attempts}${job.max_attempts ? ` of ${job.max_attempts}` : ""}`],
      ["Crashes", job.crashes ? String(job.crashes) : null],
      ["Waited", between(job.run_at, job.started_at)],
      ["Ran", between(job.started_at, job.finished_at)],
      ["Queue", job.queue],
      ["Priority", job.priority ? String(job.priority) : null],
      ["Worker", job.worker],
      ["Job", copyButton(job.id, "job id")],
      ["Request", job.request_id ? copyButton(job.request_id, "request id") : null],
    ]),
    h("div", { class: "job-actions" }, actions(job)),
  );
}

// Shows the times of creation, due date, last start and end.
function history(job) {
  const steps = [
    ["created", job.created_at],
    [new Date(job.run_at) - new Date(job.created_at) > 1000 ? "due" : null, job.run_at],
    ["last start", job.started_at],
    [job.status === "running" ? null : job.status, job.finished_at],
  ].filter(([name, at]) => name && at).sort((a, b) => new Date(a[1]) - new Date(b[1]));
  return h("ol", { class: "life", "aria-label": "History of the job" }, steps.map(([name, at], place) =>
    h("li", {}, h("b", {}, name), time(at, { fraction: true }),
      place > 0 && h("span", { class: "faint" }, `+${coarse(new Date(at) - new Date(steps[place - 1][1]))}`))));
}

function failures(job) {
  if (!job.errors?.length && !job.error) return null;
  const errors = job.errors?.length ? [...job.errors].reverse() : [{ error: job.error, at: job.finished_at }];
  return h(
    "section",
    { "aria-labelledby": "errors" },
    h("h2", { id: "errors" }, "Errors"),
    h("ol", { class: "errors" }, errors.map((one) =>
      h("li", {}, h("p", { class: "error-when" }, time(one.at), one.claim_no ? h("span", { class: "faint" }, ` claim ${one.claim_no}`) : ""), h("pre", { class: "block error-text" }, String(one.error))))),
  );
}

function traces(job, found) {
  if (!found.length && !job.trace_id) return null;
  const known = found.some((one) => one.trace_id === job.trace_id);
  return h(
    "section",
    { "aria-labelledby": "traces" },
    h("h2", { id: "traces" }, "Traces"),
    h("ol", { class: "stories", data: { rows: "" } }, found.map(story)),
    job.trace_id && !known && h("p", {}, h("a", { href: `/traces/${job.trace_id}` }, "The trace that created the job")),
  );
}

function contents(job) {
  return h(
    "div",
    { class: "columns" },
    h("section", { "aria-labelledby": "payload" }, h("h2", { id: "payload" }, "Payload"), json(job.payload)),
    job.result !== null && h("section", { "aria-labelledby": "result" }, h("h2", { id: "result" }, "Result"), json(job.result)),
  );
}
