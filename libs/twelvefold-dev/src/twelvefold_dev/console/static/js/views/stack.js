// The processes with their health and resources, and the links of the stack.

import { get, post } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { bytes, count, moment, plural, time, uptime } from "../format.js";
import { actionButton, cell, copy, facts, heading, state, toast, tone } from "../parts.js";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"];
const MAX_PROCESSES = 16; // of one service
const SUPERVISOR = "twelvefold", CONSOLE = "console";

export const stackView = {
  name: "stack",
  title: "Stack",
  topics: ["processes"],
  mount(root, _route, signal) {
    const note = h("p", { class: "note" });
    const body = h("tbody", {});
    const total = h("tfoot", {});
    const services = h("tbody", {});
    const where = h("tbody", {});
    const kept = h("div", {});
    root.append(
      heading("Stack", note),
      h("section", { "aria-labelledby": "processes" }, h("h2", { id: "processes" }, "Processes"), h("div", { class: "scroll-x" }, h(
        "table",
        { class: "cards" },
        h("thead", {}, h("tr", {}, [
          ["Process"], ["State"], ["Backing services"], ["Up", "num"], ["Requests", "num"], ["Errors", "num"], ["Restarts", "num"], ["PSS", "num"], ["", "actions"],
        ].map(([name, kind]) => h("th", { scope: "col", class: kind }, name || h("span", { class: "sr" }, "Actions"))))),
        body,
        total,
      ))),
      h("section", { "aria-labelledby": "services" }, h("h2", { id: "services" }, "Services"), h("div", { class: "scroll-x" }, h(
        "table",
        { class: "cards" },
        h("thead", {}, h("tr", {}, [["Service"], ["Processes"], ["Log level"]].map(([name]) => h("th", { scope: "col" }, name)))),
        services,
      ))),
      h("section", { "aria-labelledby": "places" }, h("h2", { id: "places" }, "Links"), h("div", { class: "scroll-x" }, h("table", { class: "places cards" }, where))),
      h("section", { "aria-labelledby": "kept" }, h("h2", { id: "kept" }, "Stored data"), kept),
    );
    return {
      async refresh() {
        const found = await get("stack", {}, signal);
        fill(note, found.supervisor_error ?? ["running since ", time(found.started)]);
        keyed(body, found.processes, (one) => one.name, processRow);
        fill(total, h("tr", {}, h("th", { scope: "row", colspan: "7" }, "Total"), h("td", { class: "num" }, bytes(found.processes.reduce((sum, one) => sum + (one.pss_bytes ?? 0), 0))), h("td", {})));
        keyed(services, found.services.map((name) => describeService(name, found.processes)), (one) => one.name, serviceRow);
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
    h("th", { scope: "row", class: "mono title", title: one.pid ? `Process ${one.pid}` : null }, h("a", { href: `/logs?source=${encodeURIComponent(one.name)}` }, one.name, h("span", { class: "sr" }, ": logs"))),
    cell("State", {}, state(one.state === "running" ? one.health ?? one.state : one.state), one.reload_error && h("pre", { class: "reload-error" }, one.reload_error)),
    cell("Backing services", {}, h("span", { class: "checks" }, checks.map(([name, found]) => h("span", { class: `check ${found === "ok" ? "good" : "bad"}`, title: `${name}: ${found}` }, name, found !== "ok" && ` ${found}`)))),
    cell("Up", { class: "num" }, uptime(one.uptime_seconds)),
    cell("Requests", { class: "num" }, count(one.requests)),
    cell("Errors", { class: "num" }, one.errors ? h("span", { class: "bad-text" }, count(one.errors)) : count(one.errors)),
    cell("Restarts", { class: "num" }, count(one.restarts)),
    cell("PSS", { class: "num" }, bytes(one.pss_bytes ?? one.rss_bytes)),
    cell("", { class: "actions" }, processActions(one)),
  );
}

function processActions(one) {
  if (one.name === SUPERVISOR || one.pid === null && one.state === "running") return null; // an external server
  const change = (action, done) => () => post(`processes/${encodeURIComponent(one.name)}/${action}`).then(() => `${one.name} ${done}`);
  if (one.state === "stopped") return actionButton("Start", change("start", "started"), { of: one.name });
  return [
    actionButton("Restart", change("restart", "restarted"), { of: one.name }),
    one.name !== CONSOLE && actionButton("Stop", change("stop", "stopped"), { kind: "quiet", of: one.name }),
  ];
}

function describeService(name, processes) {
  const own = processes.filter((one) => one.name.split(".")[0] === name);
  return { name, processes: own.length, running: own.filter((one) => one.state === "running").map((one) => one.name) };
}

function serviceRow(one) {
  const scale = (by) => async () => {
    const next = one.processes + by;
    await post(`services/${encodeURIComponent(one.name)}/scale`, { count: next });
    return `${one.name} has ${plural(next, "process", "processes")}`;
  };
  const fewer = actionButton("−", scale(-1), { of: `one process of ${one.name} less` });
  const more = actionButton("+", scale(1), { of: `one process of ${one.name} more` });
  fewer.disabled = one.processes === 0;
  more.disabled = one.processes >= MAX_PROCESSES;
  const level = h(
    "select",
    { "aria-label": `Log level of ${one.name}`, disabled: one.running.length === 0, onchange: () => changeLevel(one, level) },
    h("option", { value: "" }, "as configured"),
    LEVELS.map((name) => h("option", { value: name }, `${name}, for 15 minutes`)),
  );
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "mono title" }, one.name),
    cell("Processes", {}, h("span", { class: "stepper" }, fewer, h("b", {}, count(one.processes)), more)),
    cell("Log level", {}, level),
  );
}

async function changeLevel(service, select) {
  try {
    const states = await Promise.all(service.running.map((name) => post(`processes/${encodeURIComponent(name)}/log-level`, { level: select.value })));
    const [{ level, until, configured }] = states;
    toast(until ? `${service.name}: ${level} until ${moment(new Date(until))}, then ${configured}` : `${service.name}: ${level}`);
  } catch (error) {
    toast(error.message, "bad");
  }
}

function placeRow(place) {
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "title" }, place.title),
    h("td", { class: "mono url" }, place.href ? h("a", { href: place.href, target: "_blank", rel: "noopener" }, place.text) : place.text),
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

