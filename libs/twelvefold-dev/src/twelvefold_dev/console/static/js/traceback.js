// Tracebacks of Python, and what of them is the suite's own.

import { h } from "./dom.js";

const FRAME = /^\s*File "(?<path>[^"]+)", line (?<line>\d+)(?:, in (?<name>.*))?$/;
const LIBRARY = /site-packages|\/lib\/python/;
const MOST = 4;

// Lines of the suite's own code stand out from those of libraries. The last ones tell most.
export function traceback(text) {
  let ours = true;
  const lines = text.trimEnd().split("\n").filter((line) => !/^[\s^~]*$/.test(line)).map((line) => {
    const frame = FRAME.exec(line)?.groups;
    if (frame) ours = isOurs(frame.path);
    else if (!/^\s/.test(line)) ours = true;
    return h("span", { class: ours ? "ours" : "theirs" }, `${frame ? line.replace(frame.path, shortened(frame.path)) : line}\n`);
  });
  const block = h("pre", { class: "block stack", tabindex: "0", "aria-label": "Traceback" }, lines);
  queueMicrotask(() => block.scrollTo(0, block.scrollHeight));
  return block;
}

// The last steps in our code, the innermost first. A statement's span holds frames of its driver
// only: the spans around it, which the same error passed, know who asked for the statement.
export function ownFrames(span, trace) {
  const above = new Map(trace.spans.map((each) => [each.id, each]));
  for (let at = span, steps = 0; at && steps < 50; at = above.get(at.parent), steps += 1) {
    if (at.service !== span.service) break;
    for (const event of at.events) {
      const frames = framesOf(String(event.attributes["exception.stacktrace"] ?? ""));
      // A service's own code tells more than what all services share.
      const own = frames.filter((frame) => /\/services\//.test(frame.path));
      const found = own.length ? own : frames;
      if (found.length) return found.slice(-MOST).reverse();
    }
  }
  return [];
}

function framesOf(text) {
  const lines = text.split("\n");
  return lines.flatMap((line, at) => {
    const frame = FRAME.exec(line)?.groups;
    if (!frame || !isOurs(frame.path)) return [];
    const code = FRAME.test(lines[at + 1] ?? "") ? "" : (lines[at + 1] ?? "").trim();
    return [{ ...frame, file: shortened(frame.path), code }];
  });
}

function isOurs(path) {
  return path.startsWith("/") && !LIBRARY.test(path);
}

function shortened(path) {
  return path.replace(/^.*\/(?:site-packages|src|lib\/python3\.\d+)\//, "");
}
