// One caught email. Its HTML is shown in a frame that runs no scripts and loads nothing, in the width
// and the colour scheme that the user chooses.

import { post, remove, signUrl } from "./api.js";
import { fill, h } from "./dom.js";
import { bytes, plural, time } from "./format.js";
import { actionButton, block, choice, copy, download, facts, state } from "./parts.js";
import { table } from "./span.js";

const WIDTHS = [["", "Desktop"], ["mobile", "Mobile"]];
const SCHEMES = [["light", "Light"], ["dark", "Dark"]];

let width = "", scheme = "light"; // kept from one email to the next

export function showMail(reader, mail, ondeleted) {
  const path = `mails/${encodeURIComponent(mail.name)}`;
  const body = h("div", { class: "mail-body" });
  const links = h("div", { role: "status" });
  const formats = [
    mail.has_html && ["html", "Rendered"],
    mail.text && ["text", "Text"],
    mail.headers && ["headers", "Headers"],
    mail.source && ["source", "Source"],
  ].filter(Boolean);

  function show(format) {
    if (format === "html") fill(body, preview(path, mail));
    else if (format === "text") fill(body, h("pre", { class: "block mail-text", tabindex: "0", "aria-label": "Text" }, ...linkAddresses(mail.text)));
    else if (format === "headers") fill(body, table(mail.headers));
    else fill(body, block(mail.source, "Source"));
  }

  fill(
    reader,
    h("h2", {}, mail.subject),
    facts([
      ["From", mail.from], ["To", mail.to], ["Caught", time(mail.caught)], ["Size", bytes(mail.bytes)],
      ["Job", mail.job_id ? h("a", { href: `/jobs/${mail.job_id}` }, "the job that sent it") : null],
    ]),
    mail.attachments?.length > 0 && h("ul", { class: "attachments" }, mail.attachments.map((one) =>
      h("li", {}, download(`/api/${path}/attachments/${one.number}`, one.name), h("span", { class: "faint" }, ` ${one.type}, ${bytes(one.bytes)}`)))),
    h(
      "p",
      { class: "mail-actions" },
      mail.links?.length > 0 && actionButton(`Check ${plural(mail.links.length, "link")}`, async () => {
        const found = await post(`${path}/links`);
        fill(links, linkTable(found.links));
      }, { title: "Opens the links that lead to this stack and shows what each answers." }),
      actionButton("Delete", async () => {
        await remove(path);
        ondeleted();
        return "Email deleted";
      }, { kind: "quiet", of: mail.subject }),
    ),
    links,
    mail.too_large
      ? h("p", { class: "nothing" }, "Too large to display: ", h("code", {}, mail.path))
      : choice("format", "Show as", formats, formats[0]?.[0], show),
    body,
  );
  if (formats.length) show(formats[0][0]);
}

function preview(path, mail) {
  const frame = h("iframe", {
    title: `Email: ${mail.subject}`, referrerpolicy: "no-referrer",
    sandbox: "allow-popups allow-popups-to-escape-sandbox",
  });
  function load() {
    frame.className = `${width} ${scheme}`;
    signUrl(`/api/${path}/frame`, `scheme=${scheme}`).then((url) => { frame.src = url; });
  }
  load();
  return [
    h(
      "div",
      { class: "filters" },
      choice("width", "Width of the preview", WIDTHS, width, (value) => { width = value; load(); }),
      choice("scheme", "Colours of the preview", SCHEMES, scheme, (value) => { scheme = value; load(); }),
    ),
    mail.remote_images > 0 && h("p", { class: "hint-line" }, `${plural(mail.remote_images, "image")} of other hosts not loaded.`),
    frame,
  ];
}

function linkTable(links) {
  return h(
    "ul",
    { class: "link-checks" },
    links.map((link) => h(
      "li",
      {},
      link.checked ? state(link.ok ? "ok" : "failed", link.status ? String(link.status) : "failed") : state("stopped", "not checked"),
      h("a", { class: "mono", href: link.url, target: "_blank", rel: "noopener noreferrer" }, link.url),
      h("span", { class: link.checked ? "bad-text" : "faint" }, link.detail),
      h("button", { type: "button", class: "quiet", onclick: () => copy(link.url, "Link copied") }, "Copy", h("span", { class: "sr" }, " the link")),
    )),
  );
}

// Turns the URLs in a text into links.
function linkAddresses(text) {
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, at) =>
    (at % 2 ? h("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part));
}
