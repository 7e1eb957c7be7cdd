// One trace: its waterfall, its root cause, and its logs beside it.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { ago, duration, percent, plural, time } from "../format.js";
import { logLine } from "../loglist.js";
import { copyButton, facts, requestState, route, service, spanTitle, summaryBeyondName, tag } from "../parts.js";
import { requestActions } from "../recording.js";
import { spanDetails } from "../span.js";
import { waterfall } from "../waterfall.js";
import { story } from "./overview.js";

export const traceView = {
  name: "trace",
  title: "Trace",
  topics: ["traces"],
  mount(root, route_, signal) {
    const id = route_.params.id;
    let form = "";
    let chosen = null; // the selected span
    let tab = "logs";
    let first = true; // true while the page, not the user, selects a span

    async function refresh() {
      const found = await get(`traces/${encodeURIComponent(id)}`, {}, signal);
      const next = `${found.summary.spans} ${found.summary.lost} ${found.logs.length} ${found.linked.length}`;
      if (next === form) return;
      form = next;
      draw(found);
    }

    function draw(found) {
      const held = document.activeElement?.closest?.('[role="treeitem"]')?.id;
      const { summary, trace } = found;
      document.title = `${summary.method ?? ""} ${summary.route} · Twelvefold`;
      const cause = summary.culprit;
      const side = h("div", { class: "side-panel" });
      const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Beside the trace" });
      const panel = h("div", { id: "beside", role: "tabpanel", tabindex: "0", "aria-labelledby": "tab-logs" });
      const fall = waterfall(trace, {
        cause,
        marks: marksOf(found),
        onselect: (span) => {
          chosen = span;
          show("span");
          // On a narrow screen the panel is below the trace.
          if (!first && matchMedia("(max-width: 1100px)").matches) side.scrollIntoView({ block: "start" });
        },
      });

      function show(name) {
        tab = name;
        fill(tabs, [["span", "Span"], ["logs", `Logs (${found.logs.length})`]].map(([key, text]) =>
          h("button", {
            type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "beside", "aria-selected": String(key === tab),
            tabindex: key === tab ? "0" : "-1",
            onclick: () => show(key),
            onkeydown: (event) => {
              if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
              event.stopPropagation();
              show(key === "span" ? "logs" : "span");
              document.getElementById(`tab-${tab}`).focus();
            },
          }, text)));
        panel.setAttribute("aria-labelledby", `tab-${tab}`);
        if (tab === "span") fill(panel, chosen ? spanDetails(chosen, trace) : h("p", { class: "nothing" }, "Select a span to see its details."));
        else fill(panel, logList(found, chosen, fall));
      }

      side.append(tabs, panel);
      fill(
        root,
        head(found, requestActions(requestOf(found), route_.go, signal)),
        cause && causeBox(cause, () => fall.choose(cause.span_id)),
        found.repetitions.map((one) => repetitionBox(one, () => fall.choose(one.span_id))),
        summary.lost > 0 && h("p", { class: "hint-line" }, `${plural(summary.lost, "more span")} received, but not stored.`),
        h("div", { class: "trace-columns" }, fall.box, side),
        found.linked.length > 0 && h(
          "section",
          { "aria-labelledby": "linked" },
          h("h2", { id: "linked" }, "Linked traces"),
          h("ol", { class: "stories", data: { rows: "" } }, found.linked.map(story)),
        ),
      );
      show(tab);
      first = true;
      if (chosen) fall.choose(chosen.id, { focus: false });
      first = false;
      if (held) document.getElementById(held)?.focus({ preventScroll: true });
    }
    return { refresh };
  },
};

// Returns the request that a trace begins with.
function requestOf({ summary, trace }) {
  const id = trace.spans.find((span) => span.id === trace.root)?.attributes.request_id;
  return { id: id && String(id), service: summary.service, method: summary.method, path: summary.path };
}

function head({ summary, trace }, actions) {
  const requestId = requestOf({ summary, trace }).id;
  return h(
    "header",
    { class: "trace-head" },
    h("p", { class: "crumb" }, h("a", { href: "/requests" }, "Requests"), " / trace"),
    h("h1", {}, route(summary), " ", requestState(summary)),
    facts([
      ["Duration", h("b", {}, duration(summary.duration))],
      trace.length > summary.duration * 1.02 ? ["Including later work", duration(trace.length)] : ["", null],
      ["Start", [time(summary.started, { fraction: true }), h("span", { class: "faint" }, ` ${ago(summary.started)}`)]],
      ["Services", h("span", { class: "services" }, summary.services.map((name) => service(name)))],
      ["Spans", String(summary.spans)],
      ["Path", summary.path && summary.path !== summary.route ? h("span", { class: "mono" }, summary.path) : null],
      ["Trace", copyButton(summary.trace_id, "trace id")],
      ["Request", requestId ? copyButton(requestId, "request id") : null],
    ]),
    actions,
  );
}

function causeBox(cause, onclick) {
  const failed = cause.why === "error";
  const text = failed ? cause.text : summaryBeyondName(cause.name, cause.text);
  return h(
    "button",
    { class: `cause-box ${cause.why}`, type: "button", onclick },
    h(
      "span",
      { class: "cause-title" },
      failed ? h("b", {}, "Failed in") : [h("b", {}, duration(cause.own)), ` or ${percent(cause.share)} of the time in`],
      service(cause.service),
      tag(cause.category),
      h("b", {}, spanTitle(cause)),
    ),
    text && h("span", { class: failed ? "bad-text" : "cause-text mono" }, text),
  );
}

function repetitionBox(one, onclick) {
  return h(
    "button",
    { class: "cause-box slow", type: "button", onclick },
    h("span", { class: "cause-title" }, tag("sql"), h("b", {}, `${one.count} times the same statement`), `${duration(one.total)} in total`),
    h("span", { class: "cause-text mono" }, one.text),
  );
}

function logList({ logs, trace }, chosen, fall) {
  if (!logs.length) return h("p", { class: "nothing" }, "No log line belongs to this trace.");
  return h(
    "ol",
    { class: "log-list" },
    logs.map((line) => logLine(line, {
      start: trace.start,
      chosen: chosen !== null && line.span_id === chosen.id,
      onspan: trace.spans.some((span) => span.id === line.span_id) ? () => fall.choose(line.span_id) : null,
    })),
  );
}

// Returns warnings and errors by span, to be marked on the span's bar.
function marksOf({ logs, trace }) {
  const marks = new Map();
  for (const line of logs) {
    if (line.level !== "warning" && line.level !== "error" && line.level !== "critical") continue;
    const at = new Date(line.time).getTime() * 1e6 - trace.start * 1e3;
    marks.set(line.span_id, [...(marks.get(line.span_id) ?? []), { at, level: line.level, event: line.event }]);
  }
  return marks;
}
