/** A typed client of the Twelvefold API; the README has an example. */

export { Twelvefold, data, type ListPath, type TwelvefoldOptions } from "./client.js";
export type { Job, JobEvent } from "./events.js";
export type { components, operations, paths } from "./generated/schema.js";
export {
  ApiProblem,
  type Fault,
  JobGone,
  LoginRequired,
  OutcomeUnknown,
  TokenRefused,
  TwelvefoldError,
  Unreachable,
} from "./problems.js";
export { RetryBudget, type RetryPolicy } from "./retries.js";
export type { Tokens } from "./session.js";
