// Asks for the console's token, in a dialog: one at a time, however many requests need it.

import { h } from "./dom.js";

let asking = null;

export function askForToken() {
  asking ??= ask().finally(() => { asking = null; });
  return asking;
}

function ask() {
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
          "The console shows logs and mails to whoever has its token. Open the link that ",
          h("code", {}, "make up"), " printed, or paste what ",
          h("code", {}, "twelvefold console"), " prints here:",
        ),
        h("label", { for: "token" }, "Link or token"),
        input,
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => dialog.close() }, "Leave it"),
          h("button", { class: "primary", value: "ok" }, "Go on"),
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      const given = input.value.trim().split("#token=").pop();
      resolve(dialog.returnValue === "ok" && given ? given : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
