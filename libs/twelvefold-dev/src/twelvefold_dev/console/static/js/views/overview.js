// The front page: processes, failures and slow requests, each one click from its trace.

import { get } from "../api.js";
import { fill, fillList, h } from "../dom.js";
import { count, duration, percent, plural, time } from "../format.js";
import { frame } from "../frame.js";
import { cell, heading, requestState, rootCause, route, state } from "../parts.js";
import { plot } from "../plot.js";
import { updateUnread } from "../reading.js";
import { processStrip } from "./stack.js";

export const overviewView = {
  name: "overview",
  title: "Overview",
  topics: ["traces", "processes", "jobs", "mail"],
  mount(root, route_, signal) {
    const lead = h("p", { class: "lead" });
    const strip = h("ul", { class: "strip", "aria-label": "Processes" });
    const dots = h("div", { class: "plot" });
    const failed = h("ol", { class: "stories", data: { rows: "" } });
    const troubled = h("p", { class: "note" });
    const slowest = h("ol", { class: "stories", data: { rows: "" } });
    const routes = h("tbody", { data: { rows: "" } });
    const jobs = h("div", {});
    const mails = h("ol", { class: "stories", data: { rows: "" } });
    root.append(
      heading("Overview", lead),
      strip,
      dots,
      h(
        "div",
        { class: "columns" },
        h("section", { "aria-labelledby": "failed" }, h("h2", { id: "failed" }, "Failing"), failed, troubled),
        h("section", { "aria-labelledby": "slowest" }, h("h2", { id: "slowest" }, "Slowest"), slowest),
      ),
      h(
        "div",
        { class: "columns uneven" },
        h("section", { "aria-labelledby": "by-route" }, h("h2", { id: "by-route" }, "Routes"), routeTable(routes)),
        h(
          "div",
          {},
          h("section", { "aria-labelledby": "jobs-now" }, h("h2", { id: "jobs-now" }, "Jobs"), jobs),
          h("section", { "aria-labelledby": "mail-now" }, h("h2", { id: "mail-now" }, "Mail"), mails),
        ),
      ),
    );
    return {
      async refresh() {
        const found = await get("overview", {}, signal);
        const stack = frame.latest ?? (await get("stack", {}, signal));
        fill(lead, sentence(found, stack));
        processStrip(strip, stack.processes);
        plot(dots, found.dots, "No request yet. A new one appears within a second.", route_.go);
        const list = (box, ...content) => updateUnread(box, () => fillList(box, ...content));
        list(failed, found.failed, (one) => one.trace_id, story, "Nothing failed in this run.");
        fill(troubled, found.totals.troubled > 0 && h("a", { href: "/requests?q=is%3Atrouble&kind=" }, `${count(found.totals.troubled)} more with a failed span`));
        list(slowest, found.slowest, (one) => one.trace_id, story, "No request yet.");
        list(routes, found.routes, (one) => `${one.method} ${one.route} ${one.service}`, routeRow, "");
        showJobs(jobs, found);
        list(mails, found.mails ?? [], (one) => one.name, mailStory, "No email was caught.");
      },
    };
  },
};

function sentence(found, stack) {
  if (!stack.receives) {
    return stack.traces_to
      ? `Your environment sends traces to ${stack.traces_to}, not to the console.`
      : "Traces are disabled by your environment.";
  }
  const { requests, jobs, failed } = found.totals;
  const docs = stack.places.find((place) => place.href?.endsWith("/docs"));
  return [
    plural(requests, "request"), jobs ? ` and ${plural(jobs, "job")}` : "", " in this run",
    failed ? [", ", h("a", { href: "/requests?q=is:failed&kind=" }, `${count(failed)} failed`)] : "",
    docs && h("a", { class: "beside-link", href: docs.href, target: "_blank", rel: "noopener" }, "API documentation"),
    h("a", { class: "beside-link", href: "/stack" }, "Database and other URLs"),
  ];
}

// A trace in two lines: the request and its root cause.
export function story(item) {
  return h(
    "li",
    { class: "story" },
    h(
      "a",
      { class: "story-link", href: `/traces/${item.trace_id}`, data: { row: "" } },
      h("span", { class: "story-title" }, route(item)),
      requestState(item),
      h("span", { class: "story-number" }, duration(item.duration)),
    ),
    h("p", { class: "story-line" }, rootCause(item.culprit), h("span", { class: "story-when" }, time(item.started))),
  );
}

function routeTable(body) {
  return h(
    "div",
    { class: "scroll-x" },
    h(
      "table",
      { class: "cards" },
      h("thead", {}, h("tr", {}, ["Route", "Requests", "Failed", "p50", "p95", "Longest"].map((name, at) =>
        h("th", { scope: "col", class: at ? "num" : null }, name)))),
      body,
    ),
  );
}

function routeRow(one) {
  const q = one.route === null ? "is:unmatched" : `method:${(one.method ?? "").toLowerCase()} route:${one.route}`;
  const query = new URLSearchParams({ q, order: "duration" });
  return h(
    "tr",
    {},
    cell("Route", { class: "title" }, h("a", { href: `/requests?${query}`, class: "row-link", data: { row: "" } }, route(one))),
    cell("Requests", { class: "num" }, count(one.requests)),
    cell("Failed", { class: "num" }, one.failed ? h("span", { class: "bad-text" }, `${one.failed} · ${percent(one.failed / one.requests)}`) : "0"),
    cell("p50", { class: "num" }, duration(one.p50)),
    cell("p95", { class: "num" }, duration(one.p95)),
    cell("Longest", { class: "num" }, duration(one.longest)),
  );
}

function showJobs(box, found) {
  if (found.jobs_error) {
    fill(box, h("p", { class: "nothing" }, found.jobs_error));
    return;
  }
  const sums = {};
  for (const one of found.jobs) sums[one.status] = (sums[one.status] ?? 0) + one.jobs;
  const states = ["dead", "failed", "running", "queued", "rejected", "cancelled", "succeeded"].filter((name) => sums[name]);
  fill(
    box,
    states.length
      ? h("ul", { class: "tally" }, states.map((name) =>
        h("li", {}, h("a", { href: `/jobs?status=${name}` }, state(name), " ", h("b", {}, count(sums[name]))))))
      : h("p", { class: "nothing" }, "No job yet."),
    found.troubled_jobs.length > 0 && h("ol", { class: "stories" }, found.troubled_jobs.map((job) =>
      h(
        "li",
        { class: "story" },
        h("a", { class: "story-link", href: `/jobs/${job.id}` }, h("span", { class: "story-title mono" }, job.kind), state(job.status)),
        h("p", { class: "story-line" }, h("span", { class: "bad-text" }, job.error ?? ""), h("span", { class: "story-when" }, time(job.created_at))),
      ))),
  );
}

function mailStory(mail) {
  return h(
    "li",
    { class: "story" },
    h("a", { class: "story-link", href: `/mail/${mail.name}`, data: { row: "" } }, h("span", { class: "story-title" }, mail.subject)),
    h("p", { class: "story-line" }, h("span", {}, mail.to), h("span", { class: "story-when" }, time(mail.caught))),
  );
}
