// Formats of numbers and times.

import { h } from "./dom.js";

// Formats nanoseconds with three digits.
export function duration(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns === 0) return "0";
  const steps = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
  if (ns >= 3600e9) return `${(ns / 3600e9).toFixed(1)} h`;
  if (ns >= 120e9) return `${Math.floor(ns / 60e9)} m ${Math.round((ns % 60e9) / 1e9)} s`;
  const [unit, size] = steps.find(([, each]) => ns >= each) ?? ["ns", 1];
  return `${digits(ns / size)} ${unit}`;
}

// Formats times that are measured in whole milliseconds.
export function coarse(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : duration(ms * 1e6);
}

// Removes trailing zeros, for axes.
export function brief(text) {
  return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
}

export function seconds(value) {
  return duration(value === null ? null : value * 1e9);
}

export function digits(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

export function percent(share) {
  return `${share >= 0.995 ? 100 : Math.round(share * 100)} %`;
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1e9) return `${digits(value / 1e9)} GB`;
  if (value >= 1e6) return `${digits(value / 1e6)} MB`;
  if (value >= 1e3) return `${digits(value / 1e3)} kB`;
  return `${value} B`;
}

export function count(value) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en");
}

export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

function age(secondsAgo) {
  if (secondsAgo < 1) return "now";
  if (secondsAgo < 60) return `${Math.floor(secondsAgo)} s ago`;
  if (secondsAgo < 3600) return `${Math.floor(secondsAgo / 60)} min ago`;
  if (secondsAgo < 86400) return `${Math.floor(secondsAgo / 3600)} h ago`;
  return `${Math.floor(secondsAgo / 86400)} d ago`;
}

export function uptime(value) {
  if (value === null || value === undefined) return "–";
  const total = Math.floor(value);
  const parts = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  return `${parts[0]}:${String(parts[1]).padStart(2, "0")}:${String(parts[2]).padStart(2, "0")}`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

export function moment(date, { fraction = false } = {}) {
  return clock.format(date) + (fraction ? `.${String(date.getMilliseconds()).padStart(3, "0")}` : "");
}

// Returns a time element: the time of day, with the date unless it is today. `value` is in
// microseconds since the epoch, or ISO 8601 text.
export function time(value, options) {
  if (!value) return h("span", { class: "faint" }, "–");
  const date = new Date(typeof value === "number" ? value / 1000 : value);
  if (Number.isNaN(date.getTime())) return h("span", {}, String(value));
  const today = date.toDateString() === new Date().toDateString();
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return h(
    "time",
    { datetime: date.toISOString(), title: full.format(date) },
    today ? moment(date, options) : `${day} ${moment(date, options)}`,
  );
}

export function ago(value) {
  const date = new Date(typeof value === "number" ? value / 1000 : value);
  return age((Date.now() - date.getTime()) / 1000);
}
