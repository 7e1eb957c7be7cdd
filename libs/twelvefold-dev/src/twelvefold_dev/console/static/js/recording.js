// Recording of whole requests: the switch, and what a trace offers for its request.

import { get, post, remove } from "./api.js";
import { curl } from "./curl.js";
import { openDialog } from "./dialog.js";
import { fill, h } from "./dom.js";
import { bytes, coarse, moment } from "./format.js";
import { frame } from "./frame.js";
import { onChange } from "./live.js";
import { actionButton, block, copy } from "./parts.js";

// Returns the switch, which follows changes until `signal` aborts.
export function recordingSwitch(signal) {
  const box = h("span", { class: "recording" });
  const show = async (change = get("recordings", {}, signal)) => {
    const { until, count } = await change;
    fill(
      box,
      until
        ? h("span", { class: "state bad recording-on" }, `recording until ${moment(new Date(until * 1000))}`)
        : null,
      actionButton(until ? "Stop recording" : "Record requests", () => show(post(until ? "recordings/stop" : "recordings")), {
        title: "Keeps requests to public services whole, with their bodies, in the console's memory: they can be copied and sent again. Ends by itself after half an hour.",
      }),
      count > 0 && actionButton(`Discard ${count}`, () => show(remove("recordings")), { kind: "quiet", of: "recorded requests" }),
    );
  };
  const quietly = () => show().catch(() => {});
  const forget = onChange((topics) => {
    if (!topics || topics.has("recordings")) quietly();
  });
  signal.addEventListener("abort", forget);
  quietly();
  return box;
}

// Returns the buttons for the request of a trace: copy as curl, and send again where it was recorded.
// `request`: { id, service, method, path }. There are none for a request to an internal port.
export function requestActions(request, go, signal) {
  const box = h("p", { class: "request-actions" });
  if (request.method && request.path) offer(box, request, go, signal).catch(() => {});
  return box;
}

async function offer(box, request, go, signal) {
  const stack = frame.latest ?? await get("stack", {}, signal);
  const url = stack.public[request.service];
  if (!url) return;
  const draw = (recording) => fill(
    box,
    actionButton("Copy as curl", async () => {
      const whole = recording ? await post(`recordings/${encodeURIComponent(request.id)}/content`) : null;
      const text = whole
        ? curl({ ...whole, url: whole.url + whole.target })
        : curl({ method: request.method, url: url + request.path, authorized: true });
      await copy(text, recording ? "Request copied as curl" : "Copied without query, headers and body: they are kept only while requests are recorded");
    }),
    recording?.whole && actionButton("Send again…", () => askToSend(request, go)),
  );
  draw(null);
  if (!request.id) return;
  const found = await get(`recordings/${encodeURIComponent(request.id)}`, {}, signal);
  if (found.recorded) draw(found);
}

function askToSend(request, go) {
  const answer = h("div", { class: "response", role: "status" });
  openDialog(
    `Send ${request.method} ${request.path} again`,
    [
      h("p", {}, "The recorded request is sent as it was, with two changes: as the demo account instead of its caller, and with a new Idempotency-Key. It has its effect once more."),
      answer,
    ],
    (close) => [
      h("button", { type: "button", onclick: close }, "Close"),
      actionButton("Send", async () => {
        fill(answer, h("p", { class: "faint" }, "Waiting for the response."));
        try {
          const response = await post(`recordings/${encodeURIComponent(request.id)}/send`);
          fill(answer, responseOf(response, () => { close(); go(`/requests?q=${encodeURIComponent(response.request_id)}&kind=`); }));
        } catch (error) {
          fill(answer, h("p", { class: "error-text" }, error.message));
        }
      }, { kind: "primary" }),
    ],
  );
}

function responseOf(response, open) {
  return [
    h("p", {}, h("b", {}, `Status ${response.status}`), ` after ${coarse(response.milliseconds)}, ${response.content_type || "no content"}, ${bytes(response.bytes)} `,
      response.request_id && h("button", { type: "button", class: "quiet", onclick: open }, "Find its trace")),
    response.body && block(response.body, "Response"),
  ];
}
