// Modal dialogs of the page.

import { h } from "./dom.js";

// Shows `content` in a dialog; `buttons` returns its buttons and is given a function that closes it.
export function openDialog(title, content, buttons) {
  const dialog = h("dialog", { class: "dialog wide-dialog", "aria-labelledby": "dialog-title" });
  const close = () => dialog.close();
  dialog.append(h("h2", { id: "dialog-title" }, title), h("div", { class: "dialog-content" }, content), h("div", { class: "buttons" }, buttons(close)));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// Asks before something is done that cannot be undone, and returns whether the user agreed.
export function confirmAction(title, text, action) {
  return new Promise((resolve) => {
    let agreed = false;
    const dialog = openDialog(title, h("p", {}, text), (close) => [
      h("button", { type: "button", onclick: close }, "Cancel"),
      h("button", { type: "button", class: "primary", onclick: () => { agreed = true; close(); } }, action),
    ]);
    dialog.addEventListener("close", () => resolve(agreed));
  });
}
