// Asks for the token of this start, in a dialog. Only writes need it.

import { h } from "./dom.js";

export function askForToken() {
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
        h("h2", { id: "token-title" }, "Token of this start"),
        h(
          "p",
          {},
          "Reading is free; a change needs the token. Open the link that ",
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
