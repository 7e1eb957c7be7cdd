/** The client: openapi-fetch over a fetch that renews tokens and tries again. */

import createClient, { type Client, type Middleware } from "openapi-fetch";

import { EventReader, type Job, type JobEvent } from "./events.js";
import { type Call, perform } from "./exchange.js";
import { KEYED } from "./generated/keyed.js";
import type { components, paths } from "./generated/schema.js";
import { LoginRequired, Unreachable } from "./problems.js";
import { DEFAULT_POLICY, RetryBudget, type RetryPolicy, sleep, waitAfter } from "./retries.js";
import { Session, type Tokens } from "./session.js";

const KEY = "idempotency-key";
const STREAM_TIMEOUT = 40; // seconds; the API sends a comment every 15 seconds
const MAX_LOSSES = 8; // connections in a row that brought no event

export interface TwelvefoldOptions {
  /** Continue this session. */
  readonly tokens?: Tokens;
  /** Called with each new pair, undefined after the session's end, to keep it. */
  readonly onTokens?: (tokens: Tokens | undefined) => void;
  /** Seconds of one try. */
  readonly timeout?: number;
  readonly retries?: Partial<RetryPolicy>;
  readonly retryBudget?: RetryBudget;
  readonly fetch?: typeof globalThis.fetch;
}

type Listed<Path extends keyof paths> = paths[Path] extends {
  get: { responses: { 200: { content: { "application/json": { items: (infer Item)[]; next_cursor?: unknown } } } } };
}
  ? Item
  : never;
/** The paths of lists with several pages. */
export type ListPath = {
  [Path in keyof paths]: paths[Path] extends { get: { parameters: { query?: { cursor?: unknown } } } }
    ? Path
    : never;
}[keyof paths];
type Query<Path extends ListPath> = NonNullable<paths[Path]["get"]["parameters"]["query"]>;

/**
 * A client of the API at `baseUrl`.
 *
 * `api` is openapi-fetch's client of every operation; it resolves for a success alone and otherwise
 * throws the errors of `problems`, so `data(client.api.GET(…))` is the body. A call is tried again
 * where that cannot have its effect twice: one that was not executed, GET, PUT and DELETE, and
 * whatever takes an Idempotency-Key, which the client makes and keeps over the tries. Any other call
 * whose outcome is unknown throws OutcomeUnknown.
 */
export class Twelvefold {
  readonly api: Client<paths>;
  readonly #baseUrl: string;
  readonly #fetch: typeof globalThis.fetch;
  readonly #policy: RetryPolicy;
  readonly #budget: RetryBudget;
  readonly #timeout: number;
  readonly #session: Session;
  readonly #names = new WeakMap<Request, string>();

  constructor(baseUrl: string, options: TwelvefoldOptions = {}) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#fetch = options.fetch ?? ((request) => globalThis.fetch(request));
    this.#policy = { ...DEFAULT_POLICY, ...options.retries };
    this.#budget = options.retryBudget ?? new RetryBudget();
    this.#timeout = options.timeout ?? 30;
    this.#session = new Session({
      baseUrl: this.#baseUrl,
      fetch: this.#fetch,
      policy: this.#policy,
      budget: this.#budget,
      timeout: this.#timeout,
      tokens: options.tokens,
      onTokens: options.onTokens,
    });
    this.api = createClient<paths>({
      baseUrl: this.#baseUrl,
      fetch: (request) => this.#perform(request),
      redirect: "manual",
    });
    this.api.use(this.#naming());
  }

  get tokens(): Tokens | undefined {
    return this.#session.tokens;
  }

  /** Opens a session. Throws TokenRefused, and OutcomeUnknown where one may be open. */
  logIn(email: string, password: string): Promise<Tokens> {
    return this.#session.logIn(email, password);
  }

  /** Ends the session. Its access tokens stop working as well. */
  logOut(): Promise<void> {
    return this.#session.logOut();
  }

  /** Yields the items of a list, all its pages: `iterate("/api/v1/jobs", { limit: 100 })`. */
  async *iterate<Path extends ListPath>(path: Path, query?: Query<Path>): AsyncGenerator<Listed<Path>> {
    const get = this.api.GET as unknown as (
      path: Path,
      options: object,
    ) => Promise<{ data?: { items: Listed<Path>[]; next_cursor?: string | null } }>;
    let cursor: string | null | undefined;
    do {
      const page = await data(get(path, { params: { query: { ...query, ...(cursor && { cursor }) } } }));
      yield* page.items;
      cursor = page.next_cursor;
    } while (cursor);
  }

  /** Uploads an image: a File, a Blob, or bytes. In Node, `fromFile` of `/node` reads a file. */
  uploadImage(image: Blob | BufferSource): Promise<components["schemas"]["ImageAccepted"]> {
    return data(this.api.POST("/api/v1/images", { ...uploadOf(image) }));
  }

  /** Uploads the avatar of the account, and returns the job that makes its variants. */
  uploadAvatar(image: Blob | BufferSource): Promise<Job> {
    return data(this.api.PUT("/api/v1/users/me/avatar", { ...uploadOf(image) }));
  }

  /** Returns the URL that serves a variant without a token for some minutes. */
  async imageUrl(imageId: string, variant: string): Promise<string> {
    const { response } = await this.api.GET("/api/v1/images/{image_id}/{variant}", {
      params: { path: { image_id: imageId, variant } },
    });
    const location = response.headers.get("location");
    if (!location) throw new Unreachable("the redirect cannot be read here; fetch the path instead");
    return location;
  }

  /** Yields a job's changes until it ends, over lost connections and renewed tokens. */
  async *watchJob(jobId: string, lastEventId?: string): AsyncGenerator<JobEvent> {
    const reader = new EventReader(lastEventId);
    for (let losses = 0; ; ) {
      const response = await this.#openStream(jobId, reader.lastEventId);
      if (response.status === 204 || !response.body) return;
      for await (const event of readStream(response.body, reader)) {
        losses = 0;
        yield event;
      }
      if (reader.isEnded) return;
      losses += 1;
      if (losses > MAX_LOSSES) throw new Unreachable("watchJob: the event stream broke off again and again");
      reader.reset();
      await sleep(waitAfter(this.#policy, losses, undefined));
    }
  }

  /** Returns the job once it has ended; its `status` says how. */
  async waitForJob(jobId: string): Promise<Job> {
    for await (const _ of this.watchJob(jobId)) void _;
    return data(this.api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: jobId } } }));
  }

  /** Names each call for its errors, and gives it a new key where it takes one. */
  #naming(): Middleware {
    return {
      onRequest: ({ request, schemaPath }) => {
        const name = `${request.method} ${schemaPath}`;
        if (KEYED.has(name) && !request.headers.has(KEY)) {
          request.headers.set(KEY, crypto.randomUUID());
        }
        this.#names.set(request, name);
        return request;
      },
    };
  }

  async #perform(request: Request): Promise<Response> {
    const body = request.body ? await request.arrayBuffer() : null; // sent again with each try
    const { url, method, headers, redirect } = request;
    return this.#sign({
      name: this.#names.get(request) ?? `${method} ${new URL(url).pathname}`,
      method,
      idempotencyKey: headers.get(KEY) ?? undefined,
      timeout: this.#timeout,
      signal: request.signal,
      build: async (signal) => new Request(url, { method, headers, body, redirect, signal }),
    });
  }

  #openStream(jobId: string, lastEventId: string | undefined): Promise<Response> {
    const headers = { Accept: "text/event-stream", ...(lastEventId && { "Last-Event-ID": lastEventId }) };
    const url = `${this.#baseUrl}/api/v1/jobs/${encodeURIComponent(jobId)}/events`;
    return this.#sign({
      name: "GET /api/v1/jobs/{job_id}/events",
      method: "GET",
      isStream: true,
      timeout: this.#timeout,
      build: async () => new Request(url, { headers }),
    });
  }

  /** Performs a call with the access token of the session, if there is one. */
  #sign(call: Call): Promise<Response> {
    let access: string | undefined;
    const signed: Call = {
      ...call,
      build: async (signal) => {
        const request = await call.build(signal);
        access = await this.#session.access();
        if (access) request.headers.set("Authorization", `Bearer ${access}`);
        return request;
      },
      renew: async () => {
        if (!access) throw new LoginRequired("log in first");
        await this.#session.renew(access);
        return true;
      },
    };
    return perform(signed, this.#fetch, this.#policy, this.#budget);
  }
}

/** Returns the body of a call of `api`. */
export async function data<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}

function uploadOf(image: Blob | BufferSource) {
  return {
    body: image as unknown as string, // the document calls bytes a string
    bodySerializer: (body: unknown) => body,
    headers: { "Content-Type": "application/octet-stream" },
  };
}

/** Yields events until the stream ends or breaks off; a stream without bytes counts as broken. */
async function* readStream(body: ReadableStream<Uint8Array>, reader: EventReader): AsyncGenerator<JobEvent> {
  const chunks = body.getReader();
  try {
    for (;;) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, STREAM_TIMEOUT * 1000, undefined);
      });
      const read = chunks.read().catch(() => undefined);
      const chunk = await Promise.race([read, patience]).finally(() => clearTimeout(timer));
      if (!chunk || chunk.done) return;
      yield* reader.feed(chunk.value);
      if (reader.isEnded) return;
    }
  } finally {
    await chunks.cancel().catch(() => undefined);
  }
}
