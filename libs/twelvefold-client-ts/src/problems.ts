/** What a call throws. Every error of this package is a `TwelvefoldError`. */

const MAX_TEXT = 500; // characters of a response that is no problem document

export class TwelvefoldError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** One fault of the input: its place in the request (JSON pointer, RFC 6901) and kind. */
export interface Fault {
  readonly pointer: string;
  readonly detail: string;
}

/**
 * The API refused the call: a problem document (RFC 9457), or another error response.
 * Decide by `type`, or by `code`, its last part; GET `type` explains it.
 */
export class ApiProblem extends TwelvefoldError {
  constructor(
    readonly status: number,
    readonly type: string,
    readonly title: string,
    readonly detail: string,
    readonly requestId: string | undefined,
    readonly errors: readonly Fault[],
    /** Seconds, where the response names them. */
    readonly retryAfter: number | undefined,
  ) {
    super(`${status} ${type}: ${detail} (request ${requestId})`);
  }

  /** The last part of `type`, for example `not-found`. */
  get code(): string {
    return this.type.slice(this.type.lastIndexOf("/") + 1);
  }
}

/** The token endpoint refused a grant (RFC 6749 section 5.2), for example `invalid_grant`. */
export class TokenRefused extends TwelvefoldError {
  constructor(
    readonly error: string,
    readonly description: string,
  ) {
    super(`${error}: ${description}`);
  }
}

/** There is no session, or it has ended: log in again. */
export class LoginRequired extends TwelvefoldError {}

/** The API did not answer in time, and nothing was changed: the call may be repeated. */
export class Unreachable extends TwelvefoldError {}

/** The job was deleted while it was watched. */
export class JobGone extends TwelvefoldError {}

/**
 * The call may or may not have had its effect, and repeating it could have the effect twice.
 * `cause` says what happened last. Read the resource to learn the outcome. With `idempotencyKey`,
 * the same call with the same key is safe for 24 hours.
 */
export class OutcomeUnknown extends TwelvefoldError {
  constructor(
    readonly operation: string,
    readonly idempotencyKey: string | undefined,
    cause: unknown,
  ) {
    super(`the outcome of ${operation} is unknown`, { cause });
  }
}

/** Returns the error that a response with a status from 400 states. */
export async function readError(response: Response): Promise<ApiProblem | TokenRefused> {
  const text = await response.text();
  const members = parseObject(text);
  if (typeof members["error"] === "string") {
    return new TokenRefused(members["error"], String(members["error_description"] ?? ""));
  }
  const faults = Array.isArray(members["errors"]) ? (members["errors"] as Fault[]) : [];
  const retryAfter = response.headers.get("retry-after") ?? "";
  return new ApiProblem(
    response.status,
    String(members["type"] ?? "about:blank"),
    String(members["title"] ?? response.statusText),
    String(members["detail"] ?? text.slice(0, MAX_TEXT)),
    response.headers.get("x-request-id") ?? undefined,
    faults,
    /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined,
  );
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? (parsed as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
