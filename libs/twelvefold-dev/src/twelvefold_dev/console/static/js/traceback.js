// Tracebacks of Python, and their frames in the suite's code.

import { h } from "./dom.js";

const FRAME = /^\s*File "(?<path>[^"]+)", line (?<line>\d+)(?:, in (?<name>.*))?$/;
const LIBRARY = /site-packages|\/lib\/python/;
const MAX_FRAMES = 4;

// Highlights the lines of the suite's code. Scrolls to the last lines, which are the most useful.
export function traceback(text) {
  let isSuite = true;
  const lines = text.trimEnd().split("\n").filter((line) => !/^[\s^~]*$/.test(line)).map((line) => {
    const frame = FRAME.exec(line)?.groups;
    if (frame) isSuite = isSuiteCode(frame.path);
    else if (!/^\s/.test(line)) isSuite = true;
    return h("span", { class: isSuite ? "suite-code" : "library-code" }, `${frame ? line.replace(frame.path, shorten(frame.path)) : line}\n`);
  });
  const block = h("pre", { class: "block stack", tabindex: "0", "aria-label": "Traceback" }, lines);
  queueMicrotask(() => block.scrollTo(0, block.scrollHeight));
  return block;
}

// Returns the last frames in the suite's code, the innermost first. The span of a statement contains
// only frames of the database driver, so the spans above it, which record the same error, are
// searched too.
export function suiteFrames(span, trace) {
  const above = new Map(trace.spans.map((each) => [each.id, each]));
  for (let at = span, steps = 0; at && steps < 50; at = above.get(at.parent), steps += 1) {
    if (at.service !== span.service) break;
    for (const event of at.events) {
      const frames = framesOf(String(event.attributes["exception.stacktrace"] ?? ""));
      // The code of a service is more useful than the shared package.
      const ofService = frames.filter((frame) => /\/services\//.test(frame.path));
      const shown = ofService.length ? ofService : frames;
      if (shown.length) return shown.slice(-MAX_FRAMES).reverse();
    }
  }
  return [];
}

function framesOf(text) {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const frame = FRAME.exec(line)?.groups;
    if (!frame || !isSuiteCode(frame.path)) return [];
    const code = FRAME.test(lines[at + 1] ?? "") ? "" : (lines[at + 1] ?? "").trim();
    return [{ ...frame, file: shorten(frame.path), code }];
  });
}

function isSuiteCode(path) {
  return path.startsWith("/") && !LIBRARY.test(path);
}

function shorten(path) {
  return path.replace(/^.*\/(?:site-packages|src|lib\/python3\.\d+)\//, "");
}
