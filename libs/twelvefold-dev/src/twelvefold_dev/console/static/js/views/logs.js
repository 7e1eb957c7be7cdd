// The newest log lines of all services or of one process, updated until the user pauses them.

import { get } from "../api.js";
import { fill, h, keyed } from "../dom.js";
import { logLine } from "../loglist.js";
import { choice, heading } from "../parts.js";

const LEVELS = [["", "All"], ["info", "Info"], ["warning", "Warnings"], ["error", "Errors"]];

export const logsView = {
  name: "logs",
  title: "Logs",
  topics: ["logs"],
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let paused = false;
    let typing = null;
    const list = h("ol", { class: "log-list wide scrolls-itself" });
    const source = h("select", { onchange: (event) => change("source", event.target.value) });
    const levels = h("div", {});
    const pause = h("button", { type: "button", "aria-pressed": "false", onclick: toggle }, "Pause");
    const words = h("input", {
      type: "search", id: "log-words", placeholder: "Words in a line", autocomplete: "off", spellcheck: "false",
      oninput: () => {
        clearTimeout(typing);
        typing = setTimeout(() => change("q", words.value.trim()), 250);
      },
    });
    words.value = route.query.get("q") ?? "";
    root.append(
      heading("Logs"),
      h(
        "div",
        { class: "filters" },
        h("label", { class: "sr", for: "log-words" }, "Words"),
        words,
        h("label", { class: "select" }, h("span", { class: "sr" }, "Process"), source),
        levels,
        pause,
      ),
      h("div", { class: "log-head", "aria-hidden": "true" }, ["Time", "Level", "Process", "Event", "Fields"].map((name) => h("span", {}, name))),
      list,
    );
    showLevels();

    function showLevels() {
      fill(levels, choice("level", "At least", LEVELS, route.query.get("level") ?? "", (value) => change("level", value)));
    }

    function change(name, value) {
      const query = new URLSearchParams(location.search);
      if (value) query.set(name, value);
      else query.delete(name);
      route.go(`/logs${query.size ? `?${query}` : ""}`, { replace: name === "q" });
    }

    function toggle() {
      paused = !paused;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Continue" : "Pause";
      if (!paused) refresh();
    }

    function showSources(sources) {
      const form = sources.join();
      if (source.dataset.form === form) return;
      source.dataset.form = form;
      fill(
        source,
        h("option", { value: "" }, "All services"),
        sources.map((name) => h("option", { value: name, selected: name === route.query.get("source") }, name)),
      );
    }

    async function refresh() {
      if (paused) return;
      const query = Object.fromEntries(["q", "source", "level"].map((name) => [name, route.query.get(name)]));
      const found = await get("logs", { ...query, limit: 300 }, signal);
      if (paused) return;
      showSources(found.sources);
      // Newest first, so that new lines are visible without scrolling.
      const lines = found.lines.reverse();
      keyed(list, lines, (line) => line.id, (line) => logLine(line, { linked: true }));
      list.dataset.empty = lines.length ? "" : "No line matches.";
    }

    return {
      follow(route_) {
        route = route_;
        source.dataset.form = "";
        showLevels();
        refresh();
        return true;
      },
      refresh,
    };
  },
};
