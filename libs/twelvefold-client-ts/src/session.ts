/** The tokens of a session, which are renewed once for all calls that need it. */

import { type Call, perform } from "./exchange.js";
import { LoginRequired, TokenRefused } from "./problems.js";
import type { RetryBudget, RetryPolicy } from "./retries.js";

const EARLY = 10; // seconds before its end from which an access token counts as expired
// A refresh token may be sent again for 10 seconds after its first use, and leads to the same
// successor; beyond that it ends the session. No try starts later than this.
const REPEATABLE = 8; // seconds
const TIMEOUT = 4; // seconds of one try, so that two of them fit
const TOKEN_PATH = "/api/v1/auth/token";
const REVOKE_PATH = "/api/v1/auth/revoke";

export interface Tokens {
  readonly access: string;
  readonly refresh?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number | undefined;
}

export interface SessionOptions {
  readonly baseUrl: string;
  readonly fetch: typeof globalThis.fetch;
  readonly policy: RetryPolicy;
  readonly budget: RetryBudget;
  readonly timeout: number;
  readonly tokens: Tokens | undefined;
  readonly onTokens: ((tokens: Tokens | undefined) => void) | undefined;
}

export class Session {
  #tokens: Tokens | undefined;
  #renewing: Promise<void> | undefined;

  constructor(private readonly options: SessionOptions) {
    this.#tokens = options.tokens;
  }

  get tokens(): Tokens | undefined {
    return this.#tokens;
  }

  /** Returns the access token, renewed if it is about to expire; undefined without a session. */
  async access(): Promise<string | undefined> {
    const tokens = this.#tokens;
    if (tokens?.refresh && tokens.expiresAt && Date.now() >= tokens.expiresAt - EARLY * 1000) {
      await this.renew(tokens.access);
    }
    return this.#tokens?.access;
  }

  /** Exchanges the refresh token, unless `old` is no longer the access token. */
  async renew(old: string): Promise<void> {
    if (this.#tokens?.access !== old) return;
    this.#renewing ??= this.#exchange().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  /** Opens a session. It is not repeated: each login opens another. */
  async logIn(email: string, password: string): Promise<Tokens> {
    const form = { grant_type: "password", username: email, password };
    return this.#keep(await this.#post("create_token", TOKEN_PATH, form, this.options.timeout, false));
  }

  async logOut(): Promise<void> {
    const tokens = this.#tokens;
    if (!tokens) return;
    const form = { token: tokens.refresh ?? tokens.access };
    await this.#post("revoke_token", REVOKE_PATH, form, this.options.timeout, true);
    this.#report(undefined);
  }

  async #exchange(): Promise<void> {
    const refresh = this.#tokens?.refresh;
    if (!refresh) throw new LoginRequired("the access token has expired; there is no refresh token");
    const form = { grant_type: "refresh_token", refresh_token: refresh };
    try {
      await this.#keep(await this.#post("create_token", TOKEN_PATH, form, TIMEOUT, true, REPEATABLE));
    } catch (error) {
      if (!(error instanceof TokenRefused)) throw error;
      throw new LoginRequired(`the session has ended: ${error.description}`, { cause: error });
    }
  }

  async #keep(response: Response): Promise<Tokens> {
    const pair = (await response.json()) as {
      access_token: string;
      refresh_token: string;
      expires_in: number;
    };
    const tokens = {
      access: pair.access_token,
      refresh: pair.refresh_token,
      expiresAt: Date.now() + pair.expires_in * 1000,
    };
    this.#report(tokens);
    return tokens;
  }

  #report(tokens: Tokens | undefined): void {
    this.#tokens = tokens;
    this.options.onTokens?.(tokens);
  }

  #post(
    name: string,
    path: string,
    form: Record<string, string>,
    timeout: number,
    repeatable: boolean,
    budget: number = this.options.policy.budget,
  ): Promise<Response> {
    const { baseUrl, fetch, policy } = this.options;
    const call: Call = {
      name,
      method: "POST",
      repeatable,
      timeout: Math.min(timeout, this.options.timeout),
      build: async (signal) =>
        new Request(`${baseUrl}${path}`, { method: "POST", body: new URLSearchParams(form), signal }),
    };
    return perform(call, fetch, { ...policy, budget: Math.min(policy.budget, budget) }, this.options.budget);
  }
}
