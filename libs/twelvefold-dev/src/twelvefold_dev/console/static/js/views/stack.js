// The processes with their health and resources, and the links of the stack.

import { get, post } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { bytes, count, plural, time, uptime } from "../format.js";
import { copy, facts, heading, state, toast, tone } from "../parts.js";

export const stackView = {
  name: "stack",
  title: "Stack",
  topics: ["processes"],
  mount(root, _route, signal) {
    const note = h("p", { class: "note" });
    const body = h("tbody", {});
    const total = h("tfoot", {});
    const where = h("tbody", {});
    const kept = h("div", {});
    root.append(
      heading("Stack", note),
      h("section", { "aria-labelledby": "processes" }, h("h2", { id: "processes" }, "Processes"), h("div", { class: "scroll-x" }, h(
        "table",
        {},
        h("thead", {}, h("tr", {}, [
          ["Process"], ["State"], ["Backing services"], ["Up", "num"], ["Requests", "num"], ["Errors", "num"], ["Restarts", "num"], ["PSS", "num"], ["PID", "num"], [""],
        ].map(([name, kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "sr" }, "Logs"))))),
        body,
        total,
      ))),
      h("section", { "aria-labelledby": "places" }, h("h2", { id: "places" }, "Links"), h("div", { class: "scroll-x" }, h("table", { class: "places" }, where))),
      h("section", { "aria-labelledby": "kept" }, h("h2", { id: "kept" }, "Stored data"), kept),
    );
    return {
      async refresh() {
        const found = await get("stack", {}, signal);
        fill(note, found.supervisor_error ?? ["running since ", time(found.started)]);
        keyed(body, found.processes, (one) => one.name, processRow);
        fill(total, h("tr", {}, h("th", { scope: "row", colspan: "7" }, "Total"), h("td", { class: "num" }, bytes(found.processes.reduce((sum, one) => sum + (one.pss_bytes ?? 0), 0))), h("td", { colspan: "2" })));
        keyed(where, found.places, (one) => one.name, placeRow);
        fill(kept, facts([
          ["Spans received", count(found.received.spans)],
          ["Refused messages", found.received.refused ? count(found.received.refused) : null],
          ["Invalid spans", found.received.rejected ? count(found.received.rejected) : null],
          ["Runs", found.runs.map((run) => plural(run.traces, "trace")).join(", ")],
          ["Source of spans", found.receives ? "the services, by OTLP" : found.traces_to ? `none: spans go to ${found.traces_to}` : "none: traces are disabled"],
        ]));
      },
    };
  },
};

function processRow(one) {
  const checks = Object.entries(one.checks ?? {});
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "mono" }, one.name),
    h("td", {}, state(one.health ?? one.state), one.reload_error && h("pre", { class: "reload-error" }, one.reload_error)),
    h("td", {}, h("span", { class: "checks" }, checks.map(([name, found]) => h("span", { class: `check ${found === "ok" ? "good" : "bad"}`, title: `${name}: ${found}` }, name, found !== "ok" && ` ${found}`)))),
    h("td", { class: "num" }, uptime(one.uptime_seconds)),
    h("td", { class: "num" }, count(one.requests)),
    h("td", { class: "num" }, one.errors ? h("span", { class: "bad-text" }, count(one.errors)) : count(one.errors)),
    h("td", { class: "num" }, count(one.restarts)),
    h("td", { class: "num" }, bytes(one.pss_bytes ?? one.rss_bytes)),
    h("td", { class: "num" }, one.pid ?? "–"),
    h("td", {}, h("a", { href: `/logs?source=${encodeURIComponent(one.name)}` }, "logs", h("span", { class: "sr" }, ` of ${one.name}`))),
  );
}

function placeRow(place) {
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, place.title),
    h("td", { class: "mono" }, place.href ? h("a", { href: place.href, target: "_blank", rel: "noopener" }, place.text) : place.text),
    h("td", { class: "actions" },
      place.secret
        ? h("button", { type: "button", onclick: () => copySecret(place) }, place.name === "demo" ? "Copy password" : "Copy with password")
        : !place.href && h("button", { type: "button", class: "quiet", onclick: () => copy(place.text, `${place.title} copied`) }, "Copy", h("span", { class: "sr" }, ` ${place.title}`))),
  );
}

// Copies the value from the response to the clipboard without showing it.
async function copySecret(place) {
  try {
    const { value } = await post(`places/${place.name}/secret`);
    await copy(value, `${place.title} copied with its password`);
  } catch (error) {
    toast(error.message, "bad");
  }
}

// Shows all processes in one line, for the front page.
export function processStrip(list, processes) {
  keyed(
    list,
    processes.map(({ name, health, state: found, restarts, checks, reload_error: reloadError }) => ({ name, health, state: found, restarts, reloadError, lost: Object.entries(checks ?? {}).filter(([, one]) => one !== "ok").map(([each]) => each) })),
    (one) => one.name,
    (one) => {
      const shown = one.health ?? one.state;
      return h(
        "li",
        { class: `process ${tone(shown)}` },
        h("a", { href: `/logs?source=${encodeURIComponent(one.name)}`, class: "plain" },
          h("span", { class: `state ${tone(shown)}` }, h("span", { class: "process-name" }, one.name)),
          h("span", { class: tone(shown) === "good" ? "sr" : null }, shown),
          one.reloadError && h("span", { class: "bad-text" }, one.reloadError.split("\n").at(-1)),
          one.lost.length > 0 && h("span", { class: "bad-text" }, `without ${one.lost.join(", ")}`),
          one.restarts > 0 && h("span", { class: "faint" }, plural(one.restarts, "restart"))),
      );
    },
  );
}

