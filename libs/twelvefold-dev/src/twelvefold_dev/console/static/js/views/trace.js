// One trace: its waterfall, its root cause, and its logs beside it. The address names the selected
// span, the zoom and the search, so that it can be shared.

import { get } from "../api.js";
import { fill, h } from "../dom.js";
import { ago, duration, percent, plural, time } from "../format.js";
import { logLine } from "../loglist.js";
import { copyButton, download, facts, requestState, route, service, spanTitle, summaryBeyondName, tag } from "../parts.js";
import { requestActions } from "../recording.js";
import { earlierRun } from "../runs.js";
import { spanDetails } from "../span.js";
import { sidePanel } from "../trace/side-panel.js";
import { waterfall } from "../trace/waterfall.js";
import { story } from "./overview.js";

const NARROW = matchMedia("(max-width: 1100px)"); // as in trace.css
const ADDRESS_DELAY = 300; // ms after the last change of zoom or search

export const traceView = {
  name: "trace",
  title: "Trace",
  topics: ["traces"],
  follows: true,
  mount(root, route_, signal) {
    const id = route_.params.id;
    const shown = shownBy(route_);
    let form = "";
    let fall = null;
    let drawing = null; // ends the listeners of the waterfall that is shown
    let chosen = null; // the selected span
    let tab = "logs";
    let isSheet = false; // whether the panel is open over a narrow screen
    let waiting = null; // the timer that writes the address

    function writeAddress() {
      clearTimeout(waiting);
      waiting = null;
      if (signal.aborted || location.pathname !== `/traces/${id}`) return; // left in the meantime
      const query = new URLSearchParams();
      if (shown.span) query.set("span", shown.span);
      if (shown.zoom) query.set("zoom", shown.zoom.join("-"));
      if (shown.find) query.set("find", shown.find);
      route_.go(`/traces/${id}${query.size ? `?${query}` : ""}`, { replace: true, keep: true });
    }

    async function refresh() {
      const found = await get(`traces/${encodeURIComponent(id)}`, {}, signal);
      const next = `${found.summary.spans} ${found.summary.lost} ${found.logs.length} ${found.linked.length}`;
      if (next === form) return;
      form = next;
      draw(found);
    }

    function draw(found) {
      const before = fall?.tree;
      const held = { row: before?.activeId, isRow: before?.hasFocus, other: focusKey(root) };
      const anchor = scrollY > 0 && before?.anchor();
      drawing?.abort();
      drawing = new AbortController();
      const { summary, trace } = found;
      document.title = `${summary.method ?? ""} ${summary.route} · Twelvefold`;
      const cause = summary.culprit;
      let isDrawn = false;
      const next = waterfall(trace, {
        cause,
        shown,
        marks: marksOf(found),
        signal: AbortSignal.any([signal, drawing.signal]),
        onselect: (span) => {
          chosen = span;
          if (!isDrawn) return;
          shown.span = span.id;
          side.show("span");
          openSheet(true);
          writeAddress();
        },
        onchange: () => {
          clearTimeout(waiting);
          waiting = setTimeout(writeAddress, ADDRESS_DELAY);
        },
      });
      const side = sidePanel({
        tab,
        logs: found.logs.length,
        ontab: (name) => { tab = name; },
        onclose: () => {
          openSheet(false);
          if (chosen) next.tree.move(chosen);
        },
        content: (name) => {
          if (name === "logs") return logList(found, chosen, next);
          return chosen
            ? spanDetails(chosen, trace, `${location.origin}/traces/${id}?span=${chosen.id}`)
            : h("p", { class: "nothing" }, "Select a span to see its details.");
        },
      });
      // On a narrow screen the panel is far below the trace otherwise.
      function openSheet(isOpen) {
        isSheet = isOpen && NARROW.matches;
        side.box.classList.toggle("sheet", isSheet);
      }

      const isMissing = shown.span && !next.tree.byId.has(shown.span);
      fill(
        root,
        earlierRun(summary.run, found, "/requests"),
        head(found, requestActions(requestOf(found), route_.go, signal)),
        cause && causeBox(cause, () => next.choose(cause.span_id)),
        found.repetitions.map((one) => repetitionBox(one, () => next.choose(one.span_id))),
        summary.lost > 0 && h("p", { class: "hint-line" }, `${plural(summary.lost, "more span")} received, but not stored.`),
        isMissing && h("p", { class: "hint-line", role: "status" }, `The span ${shown.span} was not received.`),
        h("div", { class: "trace-columns" }, next.box, side.box),
        found.linked.length > 0 && h(
          "section",
          { "aria-labelledby": "linked" },
          h("h2", { id: "linked" }, "Linked traces"),
          h("ol", { class: "stories", data: { rows: "" } }, found.linked.map(story)),
        ),
      );
      next.tree.draw();
      if (!fall && shown.span && !isMissing) [tab, isSheet] = ["span", true];
      if (shown.span) next.choose(shown.span, { focus: false, centre: true, scroll: !fall && !route_.restore });
      isDrawn = true;
      side.show(tab);
      openSheet(isSheet);
      if (held.row) next.tree.keep(held.row, { focus: held.isRow });
      if (held.other) root.querySelector(held.other)?.focus({ preventScroll: true });
      if (anchor) scrollBy({ top: (next.tree.topOf(anchor.id) ?? anchor.top) - anchor.top, behavior: "instant" });
      fall = next;
    }

    return {
      refresh,
      // Only the span differs where a log line of this trace was followed.
      follow({ params, query }) {
        return params.id === id && query.has("span") && Boolean(fall?.choose(query.get("span")));
      },
      // Also writes the address that waits, since it belongs to the entry that is left.
      snapshot() {
        if (waiting) writeAddress();
        return { folded: [...shown.folded] };
      },
      end: () => clearTimeout(waiting),
    };
  },
};

// Returns a selector of the focused element, which a new drawing has too.
function focusKey(root) {
  const held = document.activeElement;
  if (!root.contains(held) || held.role === "treeitem") return null;
  if (held.id) return `#${CSS.escape(held.id)}`;
  const name = held.getAttribute("aria-label");
  return name && `[aria-label="${CSS.escape(name)}"]`;
}

// What the address and the entry of the history say is to be shown.
function shownBy({ query, restore }) {
  const zoom = /^(\d{1,15})-(\d{1,15})$/.exec(query.get("zoom") ?? "")?.slice(1).map(Number);
  return {
    span: query.get("span") ?? "",
    zoom: zoom && zoom[0] < zoom[1] ? zoom : null,
    find: query.get("find") ?? "",
    folded: new Set(restore?.content?.folded),
  };
}

// Returns the request that a trace begins with.
function requestOf({ summary, trace }) {
  const id = trace.spans.find((span) => span.id === trace.root)?.attributes.request_id;
  return { id: id && String(id), service: summary.service, method: summary.method, path: summary.path };
}

function head({ summary, trace, run }, actions) {
  const requestId = requestOf({ summary, trace }).id;
  return h(
    "header",
    { class: "trace-head" },
    h("p", { class: "crumb" }, h("a", { href: summary.run === run ? "/requests" : `/requests?run=${summary.run}` }, "Requests"), " / trace"),
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
      ["Export", download(`/api/traces/${summary.trace_id}/otlp`, "OTLP JSON", "A file that Jaeger and other viewers open")],
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
      onspan: fall.tree.byId.has(line.span_id) ? () => fall.choose(line.span_id) : null,
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
