// The panel beside the waterfall, with the selected span and the logs as tabs. On a narrow screen, where
// it is below the trace, it opens as a sheet over it.

import { fill, h } from "../dom.js";

// `content` returns what a tab shows, `ontab` and `onclose` are called after a change.
export function sidePanel({ tab, logs, content, ontab, onclose }) {
  let current = tab;
  const tabs = h("div", { role: "tablist", "aria-label": "Beside the trace" });
  const panel = h("div", { id: "beside", role: "tabpanel", tabindex: "0" });
  const close = h("button", {
    class: "quiet close", type: "button", "aria-label": "Close the panel", onclick: onclose,
  }, "✕");
  const box = h("div", { class: "side-panel" }, h("div", { class: "tabs" }, tabs, close), panel);

  function show(name) {
    current = name;
    fill(tabs, [["span", "Span"], ["logs", `Logs (${logs})`]].map(([key, text]) =>
      h("button", {
        type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "beside", "aria-selected": String(key === current),
        tabindex: key === current ? "0" : "-1", onclick: () => show(key), onkeydown,
      }, text)));
    panel.setAttribute("aria-labelledby", `tab-${current}`);
    fill(panel, content(current));
    panel.scrollTo(0, 0);
    ontab(current);
  }

  function onkeydown(event) {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.stopPropagation();
    show(current === "span" ? "logs" : "span");
    document.getElementById(`tab-${current}`).focus();
  }

  return { box, show };
}
