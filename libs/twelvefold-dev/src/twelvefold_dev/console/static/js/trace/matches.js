// The search within a trace. All words must occur in a span: in its name, summary, service, errors
// or attributes (`name:value`), or be its id. `is:failed`, `>10ms` and `<2s` are conditions.

import { plain } from "../span.js";

const DURATION = /^([<>])=?(\d+(?:\.\d+)?)(us|µs|ms|s)?$/;
const UNITS = { us: 1e3, "µs": 1e3, ms: 1e6, s: 1e9 };
const texts = new WeakMap(); // the searched text of each span

// Returns the spans that match, none for an empty search.
export function findSpans(spans, search) {
  const conditions = search.toLowerCase().split(/\s+/).filter(Boolean).map(condition);
  return conditions.length ? spans.filter((span) => conditions.every((matches) => matches(span))) : [];
}

function condition(word) {
  if (word === "is:failed") return (span) => span.failed;
  const [, compare, number, unit] = DURATION.exec(word) ?? [];
  if (compare) {
    const limit = Number(number) * UNITS[unit ?? "ms"];
    return (span) => (compare === ">" ? span.length >= limit : span.length <= limit);
  }
  return (span) => span.id === word || textOf(span).includes(word);
}

function textOf(span) {
  if (!texts.has(span)) {
    const errors = span.events.flatMap((event) => Object.values(event.attributes)).map(plain);
    const attributes = Object.entries(span.attributes).map(([name, value]) => `${name}:${plain(value)}`);
    const parts = [span.name, span.summary, span.service, span.message, span.kind, ...attributes, ...errors];
    texts.set(span, parts.join("\n").toLowerCase());
  }
  return texts.get(span);
}
