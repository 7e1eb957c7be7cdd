// Dialog that asks for the console's token. Concurrent requests share one dialog.

import { h } from "./dom.js";

let pending = null;

export function askForToken() {
  pending ??= openDialog().finally(() => { pending = null; });
  return pending;
}

function openDialog() {
  return new Promise((resolve) => {
    const input = h("input", {
      id: "token", name: "token", type: "text", autocomplete: "off", spellcheck: "false", required: true,
    });
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": "token-title" },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "token-title" }, "Token of this checkout"),
        h(
          "p",
          {},
          "The console requires its token. Open the link that ",
          h("code", {}, "make up"), " printed, or paste the output of ",
          h("code", {}, "twelvefold console"), " here:",
        ),
        h("label", { for: "token" }, "Link or token"),
        input,
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
          h("button", { class: "primary", value: "ok" }, "Continue"),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      const entered = input.value.trim().split("#token=").pop();
      resolve(dialog.returnValue === "ok" && entered ? entered : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
