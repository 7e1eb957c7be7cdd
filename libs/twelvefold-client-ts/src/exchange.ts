/** How a call is carried out: tries, waits, and the decision whether a try may be repeated. */

import { OutcomeUnknown, TokenRefused, TwelvefoldError, Unreachable, readError } from "./problems.js";
import { type RetryBudget, type RetryPolicy, sleep, waitAfter } from "./retries.js";

const REPEATABLE = new Set(["GET", "HEAD", "PUT", "DELETE"]); // RFC 9110 section 9.2
const SAFE = new Set(["GET", "HEAD"]);
// After these the request was not executed, so that any call may be repeated.
const NOT_EXECUTED = new Set(["too-many-requests", "overloaded", "request-in-progress"]);
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);
const NULL_BODY = new Set([101, 204, 205, 304]);

/** One call. `build` makes the request of a try. */
export interface Call {
  readonly name: string;
  readonly method: string;
  readonly build: (signal: AbortSignal) => Promise<Request>;
  readonly idempotencyKey?: string | undefined;
  /** Beside the methods and calls with a key, that may be repeated anyway. */
  readonly repeatable?: boolean;
  /** Whether the response's body is left unread. */
  readonly isStream?: boolean;
  /** Seconds of one try, until the response is read. */
  readonly timeout: number;
  /** The caller's own, which ends the call. */
  readonly signal?: AbortSignal | null | undefined;
  /** Makes a new token after a 401; returns whether another try makes sense. */
  readonly renew?: (() => Promise<boolean>) | undefined;
}

interface Failure {
  readonly error: unknown;
  readonly mayPass: boolean;
  readonly mayBeExecuted: boolean;
  readonly retryAfter?: number | undefined;
}

/** Returns the response, whose status is below 400; throws the errors of `problems`. */
export async function perform(
  call: Call,
  fetch: typeof globalThis.fetch,
  policy: RetryPolicy,
  budget: RetryBudget,
): Promise<Response> {
  const started = performance.now();
  const mayRepeat =
    REPEATABLE.has(call.method) || call.idempotencyKey !== undefined || call.repeatable === true;
  let isUncertain = false; // whether a try before may have been executed
  let isRenewed = false;
  for (let tries = 1; ; tries += 1) {
    const outcome = await send(call, fetch);
    if (outcome instanceof Response) {
      if (outcome.status < 400) {
        budget.putBack();
        return outcome;
      }
      if (outcome.status === 401 && call.renew && !isRenewed) {
        isRenewed = true;
        try {
          if (await call.renew()) {
            tries -= 1;
            continue;
          }
        } catch (error) {
          throw finalError(call, error, isUncertain);
        }
      }
      if (outcome.status === 404 && call.method === "DELETE" && isUncertain) {
        return new Response(null, { status: 204, headers: outcome.headers }); // the try before did it
      }
    }
    const failure = await readFailure(outcome);
    isUncertain ||= failure.mayBeExecuted;
    if (!failure.mayPass || (failure.mayBeExecuted && !mayRepeat)) {
      throw finalError(call, failure.error, failure.mayBeExecuted);
    }
    const wait = waitAfter(policy, tries, failure.retryAfter);
    const isLate = (performance.now() - started) / 1000 + wait > policy.budget;
    if (tries >= policy.maxTries || isLate || !budget.take()) {
      throw finalError(call, failure.error, isUncertain);
    }
    await sleep(wait, call.signal);
  }
}

async function send(call: Call, fetch: typeof globalThis.fetch): Promise<Response | Error> {
  const timer = new AbortController();
  const timeout = setTimeout(() => timer.abort(new Error("the response is late")), call.timeout * 1000);
  const signal = call.signal ? AbortSignal.any([call.signal, timer.signal]) : timer.signal;
  const request = await call.build(signal);
  try {
    const response = await fetch(request);
    if (call.isStream && response.ok) return response;
    // Read here, so that a response that is cut off is a failed try.
    const content = NULL_BODY.has(response.status) ? null : await response.arrayBuffer();
    const { status, statusText, headers } = response;
    return new Response(content, { status, statusText, headers });
  } catch (error) {
    if (call.signal?.aborted) throw error;
    return error instanceof Error ? error : new Error(String(error));
  } finally {
    clearTimeout(timeout);
  }
}

async function readFailure(outcome: Response | Error): Promise<Failure> {
  if (!(outcome instanceof Response)) {
    const cause = outcome.cause as { code?: string } | undefined;
    const isSent = !NOT_SENT.has(cause?.code ?? "");
    return { error: outcome, mayPass: true, mayBeExecuted: isSent };
  }
  const error = await readError(outcome);
  if (error instanceof TokenRefused) return { error, mayPass: false, mayBeExecuted: false };
  const { retryAfter } = error;
  if (NOT_EXECUTED.has(error.code)) return { error, mayPass: true, mayBeExecuted: false, retryAfter };
  const isServerError = error.status >= 500;
  return { error, mayPass: isServerError, mayBeExecuted: isServerError, retryAfter };
}

function finalError(call: Call, error: unknown, isUncertain: boolean): Error {
  if (isUncertain && !SAFE.has(call.method)) {
    return new OutcomeUnknown(call.name, call.idempotencyKey, error);
  }
  if (error instanceof TwelvefoldError) return error;
  return new Unreachable(`${call.name}: the API did not answer: ${String(error)}`, { cause: error });
}

