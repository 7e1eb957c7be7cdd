/** When a call is tried again, and for how long. */

/** The bounds of one call's tries. Waits grow exponentially, with full jitter. */
export interface RetryPolicy {
  readonly maxTries: number;
  /** Seconds for all tries and waits of a call; none starts after them. */
  readonly budget: number;
  /** Seconds, doubled with each try. */
  readonly firstWait: number;
  /** Seconds, where the server names no time. */
  readonly maxWait: number;
}

export const DEFAULT_POLICY: RetryPolicy = { maxTries: 6, budget: 30, firstWait: 0.1, maxWait: 5 };

/** Returns the seconds to wait after `tries` tries; at least `retryAfter`. */
export function waitAfter(policy: RetryPolicy, tries: number, retryAfter: number | undefined): number {
  const spread = Math.min(policy.maxWait, policy.firstWait * 2 ** tries);
  return (retryAfter ?? 0) + Math.random() * spread;
}

/**
 * A bound on the retries of all calls of a client, so that they add no load to an outage. A retry
 * uses one of `capacity`, and a call that succeeds returns `refund`.
 */
export class RetryBudget {
  #left: number;

  constructor(
    private readonly capacity = 100,
    private readonly refund = 0.2,
  ) {
    this.#left = capacity;
  }

  take(): boolean {
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  putBack(): void {
    this.#left = Math.min(this.capacity, this.#left + this.refund);
  }
}

export function sleep(seconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) end();
    else signal?.addEventListener("abort", end, { once: true });
  });
}
