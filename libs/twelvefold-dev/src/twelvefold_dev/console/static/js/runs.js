// The runs of the stack whose traces are stored, and how data of an earlier one is labelled.

import { h } from "./dom.js";

export function runName(run) {
  const start = new Date(run.started * 1000);
  return `run of ${start.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`;
}

// Returns a label for data of another run than the current one, which `href` shows, otherwise null.
// `found` is a response with the number of the current run and all stored runs.
export function earlierRun(number, found, href) {
  if (number === found.run) return null;
  const run = found.runs.find((each) => each.run === number);
  return h(
    "p",
    { class: "earlier-run" },
    h("b", {}, "Earlier data"),
    run ? ` of the ${runName(run)}, which has ended.` : " of a run that is no longer stored.",
    " ",
    h("a", { href }, "Show the current run"),
  );
}
