// Caught emails: the list and one email as its recipient would see it. The HTML is shown in a frame
// that runs no scripts and loads nothing.

import { get, signUrl } from "../api.js";
import { fill, fillList, h } from "../dom.js";
import { bytes, plural, time } from "../format.js";
import { choice, facts, heading } from "../parts.js";
import { table } from "../span.js";

export const mailView = {
  name: "mail",
  title: "Mail",
  topics: ["mail"],
  follows: true,
  mount(root, route_, signal) {
    let name = route_.params.name;
    let form = "";
    let items = [];
    let seen = "";
    const note = h("p", { class: "note" });
    const list = h("ol", { class: "mails", data: { rows: "" } });
    const reader = h("article", { class: "reader", "aria-label": "Mail" });
    root.append(heading("Mail", note), h("div", { class: "mail-columns" }, h("div", { class: "mail-list" }, list), reader));

    async function showMail() {
      const shown = name ?? items[0]?.name;
      if (!shown) {
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
      read(reader, mail);
    }

    return {
      follow(route) {
        name = route.params.name;
        showMail();
        return true;
      },
      async refresh() {
        const found = await get("mails", { limit: 200 }, signal);
        ({ items } = found);
        if (!found.caught) {
          fill(note, "Your environment names an external mail server; no email is caught.");
          return;
        }
        fill(note, found.total ? `${plural(found.total, "email")}, newest first` : "");
        const next = JSON.stringify(items);
        if (next !== form) {
          form = next;
          fillList(list, items, (mail) => mail.name, (mail) => entry(mail, seen), "No email was caught yet. Register an account to receive its welcome email here.");
        }
        await showMail();
      },
    };
  },
};

function entry(mail, seen) {
  return h(
    "li",
    {},
    h(
      "a",
      { href: `/mail/${encodeURIComponent(mail.name)}`, data: { row: "", name: mail.name }, "aria-current": mail.name === seen ? "true" : null },
      h("span", { class: "mail-subject" }, mail.subject),
      h("span", { class: "mail-to" }, mail.to),
      time(mail.caught),
    ),
  );
}

function read(reader, mail) {
  const path = `/api/mails/${encodeURIComponent(mail.name)}`;
  const body = h("div", { class: "mail-body" });
  const formats = [
    mail.has_html && ["html", "Rendered"],
    mail.text && ["text", "Text"],
    mail.headers && ["headers", "Headers"],
    mail.source && ["source", "Source"],
  ].filter(Boolean);

  function show(format) {
    if (format === "html") {
      const frame = h("iframe", {
        title: `Email: ${mail.subject}`, referrerpolicy: "no-referrer",
        sandbox: "allow-popups allow-popups-to-escape-sandbox",
      });
      signUrl(`${path}/frame`).then((url) => { frame.src = url; });
      fill(
        body,
        mail.remote_images > 0 && h("p", { class: "hint-line" }, `${plural(mail.remote_images, "image")} of other hosts not loaded.`),
        frame,
      );
    } else if (format === "text") fill(body, h("pre", { class: "block mail-text" }, ...linkAddresses(mail.text)));
    else if (format === "headers") fill(body, table(mail.headers));
    else fill(body, h("pre", { class: "block", tabindex: "0", "aria-label": "Source" }, mail.source));
  }

  fill(
    reader,
    h("h2", {}, mail.subject),
    facts([
      ["From", mail.from], ["To", mail.to], ["Caught", time(mail.caught)], ["Size", bytes(mail.bytes)],
      ["Job", mail.job_id ? h("a", { href: `/jobs/${mail.job_id}` }, "the job that sent it") : null],
    ]),
    mail.attachments?.length > 0 && h("ul", { class: "attachments" }, mail.attachments.map((one) =>
      h("li", {}, download(`${path}/attachments/${one.number}`, one.name), h("span", { class: "faint" }, ` ${one.type}, ${bytes(one.bytes)}`)))),
    mail.too_large
      ? h("p", { class: "nothing" }, "Too large to display: ", h("code", {}, mail.path))
      : choice("format", "Show as", formats, formats[0]?.[0], show),
    body,
  );
  if (formats.length) show(formats[0][0]);
}

function download(path, name) {
  const link = h("a", { download: "" }, name);
  signUrl(path).then((url) => { link.href = url; });
  return link;
}

// Turns the URLs in a text into links.
function linkAddresses(text) {
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, at) =>
    (at % 2 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part));
}
