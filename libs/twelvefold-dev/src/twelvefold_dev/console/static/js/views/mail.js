// Caught emails: the list and one email as its recipient would see it.

import { get, remove } from "../api.js";
import { confirmAction } from "../dialog.js";
import { fill, fillList, h } from "../dom.js";
import { plural, time } from "../format.js";
import { showMail } from "../mail-reader.js";
import { actionButton, heading } from "../parts.js";

export const mailView = {
  name: "mail",
  title: "Mail",
  topics: ["mail"],
  follows: true,
  mount(root, route_, signal) {
    let route = route_;
    let form = "";
    let items = [];
    let seen = "";
    let typing = null;
    const note = h("p", { class: "note" });
    const words = h("input", {
      type: "search", id: "mail-words", placeholder: "Recipient, subject, text", autocomplete: "off", spellcheck: "false",
      oninput: () => {
        clearTimeout(typing);
        typing = setTimeout(() => route.go(`${location.pathname}${words.value.trim() ? `?q=${encodeURIComponent(words.value.trim())}` : ""}`, { replace: true }), 250);
      },
    });
    words.value = route.query.get("q") ?? "";
    const deleteAll = actionButton("Delete all…", async () => {
      if (!await confirmAction("Delete all caught emails?", "Their files in .twelvefold/mail are deleted, also those that the search does not show.", "Delete")) return null;
      const { deleted } = await remove("mails");
      route.go("/mail");
      return `${plural(deleted, "email")} deleted`;
    }, { kind: "quiet" });
    const list = h("ol", { class: "mails", data: { rows: "" } });
    const reader = h("article", { class: "reader", "aria-label": "Mail" });
    root.append(
      heading("Mail", note),
      h("div", { class: "filters" }, h("label", { class: "sr", for: "mail-words" }, "Search emails"), words, deleteAll),
      h("div", { class: "mail-columns" }, h("div", { class: "mail-list" }, list), reader),
    );

    async function open() {
      const shown = route.params.name ?? items[0]?.name;
      if (!shown) {
        seen = "";
        fill(reader);
        return;
      }
      if (shown === seen) return;
      const mail = await get(`mails/${encodeURIComponent(shown)}`, {}, signal);
      seen = shown;
      for (const link of list.querySelectorAll("a")) {
        if (link.dataset.name === shown) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      showMail(reader, mail, () => route.go("/mail"));
    }

    async function refresh() {
      const q = route.query.get("q") ?? "";
      const found = await get("mails", { limit: 200, q }, signal);
      ({ items } = found);
      if (!found.caught) {
        fill(note, "Your environment names an external mail server; no email is caught.");
        return;
      }
      deleteAll.hidden = !found.total;
      fill(note, found.total ? `${q ? `${items.length} of ` : ""}${plural(found.total, "email")}, newest first` : "");
      const entries = items.map((mail) => ({ ...mail, q }));
      const next = JSON.stringify(entries);
      if (next !== form) {
        form = next;
        fillList(list, entries, (mail) => mail.name, (mail) => entry(mail, seen), found.total
          ? "No email contains these words."
          : "No email was caught yet. Register an account to receive its welcome email here.");
      }
      await open();
    }

    return {
      follow(route_) {
        route = route_;
        refresh();
        return true;
      },
      refresh,
    };
  },
};

function entry(mail, seen) {
  return h(
    "li",
    {},
    h(
      "a",
      { href: `/mail/${encodeURIComponent(mail.name)}${mail.q ? `?q=${encodeURIComponent(mail.q)}` : ""}`, data: { row: "", name: mail.name }, "aria-current": mail.name === seen ? "true" : null },
      h("span", { class: "mail-subject" }, mail.subject),
      h("span", { class: "mail-to" }, mail.to),
      time(mail.caught),
    ),
  );
}
