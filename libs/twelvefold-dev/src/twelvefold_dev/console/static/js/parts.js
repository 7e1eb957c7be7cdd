// Elements that several views use. No information is given by colour alone.

import { signUrl } from "./api.js";
import { h } from "./dom.js";
import { duration, percent } from "./format.js";

const TAGS = {
  request: "HTTP", call: "CALL", sql: "SQL", redis: "REDIS", database: "DB", s3: "S3",
  mail: "MAIL", job: "JOB", enqueue: "QUEUE", code: "CODE",
};

export function tag(category) {
  return h("span", { class: `tag tag-${category}` }, TAGS[category] ?? "SPAN");
}

const HUES = 7; // in base.css

// A service has the same colour everywhere, in every run.
export function hue(service) {
  let sum = 0;
  for (const character of service) sum = (sum * 131 + character.charCodeAt(0)) >>> 0;
  return String(1 + (sum % HUES));
}

export function service(name) {
  return h("span", { class: "service", data: { hue: hue(name) } }, name);
}

const STATES = {
  ok: "good", ready: "good", running: "good", succeeded: "good", trouble: "warn", degraded: "warn",
  starting: "warn", queued: "calm", cancelled: "calm", stopped: "calm", stopping: "calm",
  failed: "bad", dead: "bad", silent: "bad", unavailable: "bad", "backing off": "bad",
  "not reloaded": "bad",
  rejected: "warn",
};

export function tone(state) {
  return STATES[state] ?? "calm";
}

export function state(name, text = name) {
  return h("span", { class: `state ${tone(name)}` }, text);
}

function statusCode(code) {
  if (code === null || code === undefined) return h("span", { class: "faint" }, "–");
  const kind = code >= 500 ? "bad" : code >= 400 ? "warn" : "good";
  return h("span", { class: `code ${kind}` }, String(code));
}

export function requestState(item) {
  if (item.status === null) return state(item.state);
  return h(
    "span",
    { class: "code-and-state" },
    statusCode(item.status),
    item.state === "trouble" && h("span", { class: "state warn small", title: "A span failed" }, "trouble"),
  );
}

// Returns the part of a summary that the name does not contain.
export function summaryBeyondName(name, summary) {
  if (name.includes(summary)) return "";
  return summary.startsWith(`${name} `) ? summary.slice(name.length + 1) : summary;
}

// Returns the name of the root cause, which for a span with children is its self time.
export function spanTitle(cause) {
  return cause.why === "slow" && cause.itself ? `${cause.name} itself` : cause.name;
}

// Shows the root cause of a trace: the failed span, or the slowest one.
export function rootCause(cause, { brief = false } = {}) {
  if (!cause) return h("span", { class: "faint" }, brief ? "" : "no single span");
  const what = cause.why === "error"
    ? h("span", { class: "bad-text" }, cause.text || "failed")
    : h("span", {}, h("b", {}, duration(cause.own)), ` · ${percent(cause.share)}`);
  return h(
    "span",
    { class: "root-cause" },
    service(cause.service),
    tag(cause.category),
    h("span", { class: "root-cause-name" }, spanTitle(cause)),
    what,
  );
}

export function route(item) {
  return [
    item.method && h("span", { class: "method" }, item.method),
    " ",
    item.route === null ? h("span", { class: "faint" }, "(no route)") : h("span", { class: "path" }, item.route),
  ];
}

// Announces the result of a filter to screen readers. Not used for live updates.
export function announce(text) {
  document.getElementById("announcement").textContent = text;
}

// Returns a button that runs `work` once at a time and shows its error. `work` returns the text of
// a toast, or nothing.
export function actionButton(text, work, { kind = "", of = "", title = null } = {}) {
  return h(
    "button",
    {
      type: "button", class: kind || null, title,
      onclick: async (event) => {
        const button = event.currentTarget;
        button.disabled = true;
        button.setAttribute("aria-busy", "true");
        try {
          const done = await work();
          if (done) toast(done);
        } catch (error) {
          toast(error.message, "bad");
        } finally {
          button.disabled = false;
          button.removeAttribute("aria-busy");
        }
      },
    },
    text,
    of && h("span", { class: "sr" }, ` ${of}`),
  );
}

let toasts = null;

export function toast(text, kind = "calm") {
  toasts ??= document.getElementById("toasts");
  const note = h("p", { class: `toast ${kind}` }, text);
  toasts.append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 8000 : 3500);
}

export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    toast("The browser did not allow copying.", "bad");
  }
}

export function copyButton(text, label) {
  return h(
    "button",
    { class: "quiet copy", type: "button", title: `Copy ${label}`, onclick: () => copy(text, `${label} copied`) },
    h("span", { class: "mono" }, text.length > 20 ? `${text.slice(0, 8)}…${text.slice(-4)}` : text),
    h("span", { class: "sr" }, ` copy ${label}`),
  );
}

// A link that downloads a file of the API.
export function download(path, name, title = null) {
  const link = h("a", { download: "", title }, name);
  signUrl(path).then((url) => { link.href = url; });
  return link;
}

// A filter with a few choices, made of radio buttons.
export function choice(name, legend, options, value, onchange) {
  return h(
    "fieldset",
    { class: "choice" },
    h("legend", { class: "sr" }, legend),
    options.map(([key, text, extra]) =>
      h(
        "label",
        {},
        h("input", {
          type: "radio", name, value: key, checked: key === value, onchange: () => onchange(key),
        }),
        h("span", {}, text, extra !== undefined && extra !== null && h("span", { class: "number" }, String(extra))),
      )),
  );
}

// A block of text with a button that copies it.
export function block(text, label, { kind = "" } = {}) {
  return h(
    "div",
    { class: "copy-block" },
    h("pre", { class: `block ${kind}`, tabindex: "0", "aria-label": label }, text),
    h("button", { type: "button", class: "quiet", onclick: () => copy(text, `${label} copied`) }, "Copy", h("span", { class: "sr" }, ` ${label}`)),
  );
}

export function json(value, label = "JSON") {
  return block(typeof value === "string" ? value : JSON.stringify(value, null, 2), label);
}

// Returns a cell of a table. On a narrow screen rows become cards, in which the cell shows `label`.
export function cell(label, props, ...children) {
  return h("td", { ...props, data: { ...props?.data, label } }, ...children);
}

export function heading(title, ...beside) {
  return h("div", { class: "heading" }, h("h1", {}, title), h("div", { class: "beside" }, beside));
}

export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
