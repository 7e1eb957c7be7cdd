/** The events of a job: reading of server-sent events, and where to resume. */

import type { components } from "./generated/schema.js";
import { JobGone, LoginRequired } from "./problems.js";

export type Job = components["schemas"]["Job"];

/** A change of a job: its `state`, or its `progress` alone. */
export interface JobEvent {
  readonly name: string;
  readonly job: Job;
  readonly id: string;
}

const MAX_EVENT = 1_048_576; // characters

/** Turns chunks of a stream into events, over as many connections as it takes. */
export class EventReader {
  isEnded = false; // whether the job has ended
  #decoder = new TextDecoder();
  #buffer = "";
  #name = "";
  #data: string[] = [];
  #id: string | undefined;

  constructor(public lastEventId: string | undefined) {}

  /** Forgets a half event, before the next connection. */
  reset(): void {
    this.#decoder = new TextDecoder();
    this.#buffer = "";
    this.#clear();
  }

  *feed(chunk: Uint8Array): Generator<JobEvent> {
    const lines = (this.#buffer + this.#decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/);
    this.#buffer = lines.pop() ?? "";
    if (this.#buffer.length > MAX_EVENT) throw new RangeError("an event is too large");
    for (const line of lines) {
      if (line !== "") {
        this.#take(line);
        continue;
      }
      const event = this.#dispatch();
      if (event) yield event;
    }
  }

  #take(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#name = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
  }

  #dispatch(): JobEvent | undefined {
    const [name, data, id] = [this.#name, this.#data.join("\n"), this.#id];
    this.#clear();
    if (data === "") return undefined;
    if (name === "end") {
      this.#end((JSON.parse(data) as { reason?: string }).reason ?? "");
      return undefined;
    }
    this.lastEventId = id ?? this.lastEventId;
    return { name, job: JSON.parse(data) as Job, id: this.lastEventId ?? "" };
  }

  #end(reason: string): void {
    if (reason === "gone") throw new JobGone("the job was deleted");
    if (reason === "token_revoked") throw new LoginRequired("the session was revoked");
    // Otherwise the process is draining or the token has expired: resume with another.
    this.isEnded = reason === "finished";
  }

  #clear(): void {
    this.#name = "";
    this.#data = [];
    this.#id = undefined;
  }
}
