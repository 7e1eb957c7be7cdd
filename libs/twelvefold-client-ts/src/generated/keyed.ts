// Generated from docs/api/api.json by `make client`; never edited.
export const KEYED: ReadonlySet<string> = new Set([
  "POST /api/v1/users",
  "POST /api/v1/images",
  "POST /api/v1/jobs",
  "POST /api/v1/jobs/{job_id}/cancel",
  "POST /api/v1/jobs/{job_id}/retry"
]);
