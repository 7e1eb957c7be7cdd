// Generated from docs/api/api.json by `make client`; never edited.
export interface paths {
    "/api/v1/users": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List accounts
         * @description All accounts, disabled ones included. A cursor belongs to this list.
         */
        get: operations["list_users"];
        put?: never;
        /**
         * Register an account
         * @description 409 where the address has an account. The email to it holds a link that verifies it.
         */
        post: operations["create_user"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show my account
         * @description Send the ETag as If-Match with a change, and as If-None-Match to read again.
         */
        get: operations["get_me"];
        put?: never;
        post?: never;
        /**
         * Delete my account
         * @description Ends every session at once; a job erases the data of the account.
         *
         *     401 insufficient_user_authentication (RFC 9470) where the login, not the token, is older than
         *     5 minutes: log in again. 409 for the last admin: promote another account first.
         */
        delete: operations["delete_me"];
        options?: never;
        head?: never;
        /**
         * Change my account
         * @description Only the given members change. The address and the password have operations of their own.
         */
        patch: operations["update_me"];
        trace?: never;
    };
    "/api/v1/users/{user_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show an account
         * @description The caller's own account, or any account for an admin. 403 for other ids, existing or not.
         */
        get: operations["get_user"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /**
         * Change an account's role, or disable it
         * @description Ends the account's sessions. 409 where no admin would be left.
         */
        patch: operations["update_user"];
        trace?: never;
    };
    "/api/v1/users/me/avatar": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        /**
         * Upload my avatar
         * @description A JPEG, PNG or WebP file as the body. The newest upload wins, whichever job ends last.
         */
        put: operations["put_my_avatar"];
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/{user_id}/avatar/{variant}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show an avatar
         * @description Redirects to a URL that needs no token. 404 while the account has no avatar.
         */
        get: operations["get_avatar"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me/password": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Change my password
         * @description Ends every other session. 403 where the current password is wrong.
         */
        post: operations["change_password"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me/email": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Change my address
         * @description Sends an email to the new address, which takes effect once its link was used.
         *
         *     403 without the account's password. The former address, if verified, gets a link that undoes
         *     the change for 7 days.
         */
        post: operations["change_email"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me/sessions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List my sessions
         * @description The active logins of the account; `current` marks the one that asks.
         */
        get: operations["list_my_sessions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me/sessions/{session_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /**
         * End one of my sessions
         * @description Takes effect at once, also on its access tokens. The caller's own session is allowed.
         */
        delete: operations["end_my_session"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/users/me/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Export my data
         * @description Streamed, one export at a time per account (429). 503 where a service that keeps data of the
         *     account fails. After a broken connection it is incomplete.
         */
        get: operations["export_me"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/analytics/daily": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show the counts of each day
         * @description 404 where the operator has disabled analytics (ENABLE_ANALYTICS).
         */
        get: operations["get_daily_analytics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/token": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Log in, or exchange a refresh token
         * @description Each refresh token works once; use the new one from then on.
         */
        post: operations["create_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/revoke": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Revoke a token and its session
         * @description A refresh token or an access token; either ends the whole session at once (RFC 7009).
         */
        post: operations["revoke_token"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/email-verifications": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Request an email that verifies an address
         * @description The link expires in 24 hours. At most 6 an hour are sent to one address.
         */
        post: operations["request_email_verification"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/email-verifications/confirm": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Verify an address by the emailed token
         * @description The token works once; 400 where it is unknown, used or expired.
         */
        post: operations["confirm_email"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/password-resets": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Request an email that resets a password
         * @description The link expires in 10 minutes. At most 6 an hour are sent to one address.
         */
        post: operations["request_password_reset"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/password-resets/confirm": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Set a new password by the emailed token
         * @description Ends every session of the account.
         */
        post: operations["reset_password"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth/email-changes/undo": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Restore an address by the emailed token
         * @description Possible for 7 days after the change. Ends every session, voids the password, and sends a
         *     link for a new one to the restored address.
         */
        post: operations["undo_email_change"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List images
         * @description The caller's images; for admins those of every owner.
         */
        get: operations["list_images"];
        put?: never;
        /**
         * Upload an image
         * @description A JPEG, PNG or WebP file as the body, without multipart; a job makes the smaller copies.
         */
        post: operations["create_image"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/{image_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show an image
         * @description `status` says whether the smaller copies are there; 404 for images of other accounts.
         */
        get: operations["get_image"];
        put?: never;
        post?: never;
        /**
         * Delete an image
         * @description Deletes its variants too. If-Match is optional.
         */
        delete: operations["delete_image"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/images/{image_id}/{variant}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show a smaller copy of an image
         * @description Redirects to a URL that needs no token. Rejected and unfinished images have no copies.
         */
        get: operations["get_image_variant"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List jobs
         * @description The caller's jobs; for admins those of every account. Ended jobs are pruned in time.
         */
        get: operations["list_jobs"];
        put?: never;
        /**
         * Start a job
         * @description It runs at least once, and its effects happen once. 429 where too many jobs wait.
         */
        post: operations["create_job"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Show a job
         * @description 404 for jobs of other accounts. To follow a job, watch its events instead of polling.
         */
        get: operations["get_job"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Cancel a job
         * @description A job that has ended is 409. A running job is cancelled once its handler has stopped.
         */
        post: operations["cancel_job"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}/retry": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Run an unsuccessful job again
         * @description Only a dead, failed or cancelled job; any other is 409. Its attempts are counted anew.
         */
        post: operations["retry_job"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Watch a job until it ends
         * @description Server-sent events. The stream ends with the job or with the token, whichever ends first.
         */
        get: operations["watch_job"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/jwks.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Public keys of access tokens (RFC 7517)
         * @description Keys stay published for as long as a token that they signed is valid.
         */
        get: operations["get_jwks"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/.well-known/oauth-authorization-server": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Metadata of the token endpoints (RFC 8414)
         * @description Where OAuth clients find the endpoints of this issuer.
         */
        get: operations["get_server_metadata"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the kinds of problems
         * @description JSON, or a page for browsers. The list changes with releases only; expect new members.
         */
        get: operations["list_problem_types"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/problems/{code}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Explain a kind of problem
         * @description JSON, or a page for browsers. Every `type` of an error is a path of this operation.
         */
        get: operations["get_problem_type"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get the health of the API
         * @description The same as /ready, for monitoring.
         */
        get: operations["get_health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Get whether the API takes requests
         * @description 503 only while the process starts or drains; a lost backing service is `degraded`.
         */
        get: operations["get_ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * AccountExport
         * @description All data that is kept about the caller.
         */
        AccountExport: {
            account: components["schemas"]["UserExport"];
            /**
             * Services
             * @description What further services keep, by their name.
             */
            services?: {
                [key: string]: {
                    [key: string]: unknown;
                };
            };
            /** Images */
            images: components["schemas"]["Image"][];
            /**
             * Jobs
             * @description Jobs that are not pruned yet.
             */
            jobs: components["schemas"]["Job"][];
        };
        /**
         * DailyAnalytics
         * @description One day in UTC.
         */
        DailyAnalytics: {
            /**
             * Day
             * Format: date
             */
            day: string;
            /**
             * Registrations
             * Format: int64
             */
            registrations: number;
            /**
             * Active Users
             * Format: int64
             * @description Accounts for which tokens were issued.
             */
            active_users: number;
            /**
             * Images
             * Format: int64
             * @description Uploads of that day that are not deleted.
             */
            images: number;
            /**
             * Jobs
             * @description Jobs of that day by type and current status, while they are kept.
             */
            jobs: components["schemas"]["JobCount"][];
        };
        /**
         * DailyAnalyticsReport
         * @description Every requested day, in order.
         * @example {
         *       "items": [
         *         {
         *           "day": "2026-03-01",
         *           "registrations": 12,
         *           "active_users": 340,
         *           "images": 57,
         *           "jobs": [
         *             {
         *               "type": "image.process",
         *               "status": "succeeded",
         *               "count": 57
         *             }
         *           ]
         *         }
         *       ]
         *     }
         */
        DailyAnalyticsReport: {
            /** Items */
            items: components["schemas"]["DailyAnalytics"][];
        };
        /**
         * EmailAddress
         * @example {
         *       "email": "ada@example.com"
         *     }
         */
        EmailAddress: {
            /**
             * Email
             * Format: idn-email
             * @example ada@example.com
             */
            email: string;
        };
        /**
         * EmailChange
         * @description The new address takes effect when the link in the email to it is confirmed.
         * @example {
         *       "email": "ada.king@example.com",
         *       "password": "correct horse battery staple"
         *     }
         */
        EmailChange: {
            /**
             * Email
             * Format: idn-email
             * @example ada@example.org
             */
            email: string;
            /**
             * Password
             * @description The account's password. If missing or wrong, the response is 403.
             */
            password?: string | null;
        };
        /**
         * EmailChangeUndo
         * @example {
         *       "token": "q7Xw2c9kT0mZr4yVb1nH8sJd"
         *     }
         */
        EmailChangeUndo: {
            /**
             * Token
             * Format: password
             */
            token: string;
        };
        /**
         * EmailConfirmation
         * @example {
         *       "token": "q7Xw2c9kT0mZr4yVb1nH8sJd"
         *     }
         */
        EmailConfirmation: {
            /**
             * Token
             * Format: password
             */
            token: string;
        };
        /**
         * Image
         * @description An uploaded image.
         * @example {
         *       "id": "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11",
         *       "owner_id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
         *       "status": "ready",
         *       "reason": null,
         *       "content_type": "image/jpeg",
         *       "size": 482113,
         *       "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
         *       "variants": [
         *         {
         *           "name": "128",
         *           "url": "/api/v1/images/0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11/128",
         *           "content_type": "image/webp",
         *           "width": 128,
         *           "height": 96,
         *           "size": 4021
         *         }
         *       ],
         *       "created_at": "2026-03-01T09:30:00Z",
         *       "updated_at": "2026-03-01T09:30:00Z"
         *     }
         */
        Image: {
            /**
             * Id
             * Format: uuid
             */
            id: string;
            /**
             * Owner Id
             * Format: uuid
             */
            owner_id: string;
            status: components["schemas"]["ImageStatus"];
            /**
             * Reason
             * @description Why it was rejected.
             */
            reason: string | null;
            /**
             * Content Type
             * @description Type of the upload, detected from its bytes.
             */
            content_type: string;
            /**
             * Size
             * Format: int64
             * @description Bytes of the upload.
             */
            size: number;
            /**
             * Sha256
             * @description SHA-256 of the upload, hexadecimal.
             */
            sha256: string;
            /**
             * Variants
             * @description Empty until the image is ready.
             */
            variants: components["schemas"]["ImageVariant"][];
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Updated At
             * Format: date-time
             */
            updated_at: string;
        };
        /**
         * ImageAccepted
         * @description The image and the job that makes its variants.
         * @example {
         *       "image": {
         *         "id": "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11",
         *         "owner_id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
         *         "status": "processing",
         *         "reason": null,
         *         "content_type": "image/jpeg",
         *         "size": 482113,
         *         "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
         *         "variants": [],
         *         "created_at": "2026-03-01T09:30:00Z",
         *         "updated_at": "2026-03-01T09:30:00Z"
         *       },
         *       "job": {
         *         "id": "0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22",
         *         "type": "image.process",
         *         "status": "queued",
         *         "progress": 0,
         *         "attempts": 0,
         *         "max_attempts": 5,
         *         "created_at": "2026-03-01T09:30:00Z",
         *         "run_at": "2026-03-01T09:30:00Z",
         *         "started_at": null,
         *         "finished_at": null,
         *         "result": null,
         *         "error": null
         *       }
         *     }
         */
        ImageAccepted: {
            image: components["schemas"]["Image"];
            job: components["schemas"]["Job"];
        };
        /**
         * ImagePage
         * @description One page of images, newest first.
         * @example {
         *       "items": [
         *         {
         *           "id": "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11",
         *           "owner_id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
         *           "status": "ready",
         *           "reason": null,
         *           "content_type": "image/jpeg",
         *           "size": 482113,
         *           "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
         *           "variants": [
         *             {
         *               "name": "128",
         *               "url": "/api/v1/images/0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11/128",
         *               "content_type": "image/webp",
         *               "width": 128,
         *               "height": 96,
         *               "size": 4021
         *             }
         *           ],
         *           "created_at": "2026-03-01T09:30:00Z",
         *           "updated_at": "2026-03-01T09:30:00Z"
         *         }
         *       ],
         *       "next_cursor": "kq3Zb1tWvXo0d2hSd0ZrUQ"
         *     }
         */
        ImagePage: {
            /** Items */
            items: components["schemas"]["Image"][];
            /**
             * Next Cursor
             * @description For `?cursor=`; none on the last page.
             */
            next_cursor?: string | null;
        };
        /**
         * ImageStatus
         * @enum {string}
         */
        ImageStatus: "processing" | "ready" | "rejected";
        /**
         * ImageVariant
         * @description A smaller copy, in WebP and without metadata.
         */
        ImageVariant: {
            /**
             * Name
             * @description Longest side in pixels.
             * @example 128
             */
            name: string;
            /**
             * Url
             * @description Path that redirects to the bytes.
             */
            url: string;
            /** Content Type */
            content_type: string;
            /**
             * Width
             * Format: int64
             */
            width: number;
            /**
             * Height
             * Format: int64
             */
            height: number;
            /**
             * Size
             * Format: int64
             * @description Bytes.
             */
            size: number;
        };
        /**
         * Job
         * @description Background work that a request started.
         * @example {
         *       "id": "0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22",
         *       "type": "image.process",
         *       "status": "queued",
         *       "progress": 0,
         *       "attempts": 0,
         *       "max_attempts": 5,
         *       "created_at": "2026-03-01T09:30:00Z",
         *       "run_at": "2026-03-01T09:30:00Z",
         *       "started_at": null,
         *       "finished_at": null,
         *       "result": null,
         *       "error": null
         *     }
         */
        Job: {
            /**
             * Id
             * Format: uuid
             */
            id: string;
            /** Type */
            type: string;
            status: components["schemas"]["JobStatus"];
            /**
             * Progress
             * Format: int32
             * @description Per cent.
             */
            progress: number;
            /**
             * Attempts
             * Format: int64
             * @description Runs that ended in an error.
             */
            attempts: number;
            /**
             * Max Attempts
             * Format: int64
             */
            max_attempts: number;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Run At
             * Format: date-time
             * @description Not before then.
             */
            run_at: string;
            /** Started At */
            started_at: string | null;
            /** Finished At */
            finished_at: string | null;
            /** Result */
            result: {
                [key: string]: unknown;
            } | null;
            /**
             * Error
             * @description Why it failed, was rejected or is dead.
             */
            error: string | null;
        };
        /** JobCount */
        JobCount: {
            /** Type */
            type: string;
            status: components["schemas"]["JobStatus"];
            /**
             * Count
             * Format: int64
             */
            count: number;
        };
        /**
         * JobCreate
         * @description `image.process` takes `{"image_id": …}`. Admins may start every other type as well.
         * @example {
         *       "type": "image.process",
         *       "payload": {
         *         "image_id": "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11"
         *       }
         *     }
         */
        JobCreate: {
            /** Type */
            type: string;
            /** Payload */
            payload: {
                [key: string]: unknown;
            };
        };
        /**
         * JobPage
         * @description One page of jobs, newest first.
         * @example {
         *       "items": [
         *         {
         *           "id": "0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22",
         *           "type": "image.process",
         *           "status": "queued",
         *           "progress": 0,
         *           "attempts": 0,
         *           "max_attempts": 5,
         *           "created_at": "2026-03-01T09:30:00Z",
         *           "run_at": "2026-03-01T09:30:00Z",
         *           "started_at": null,
         *           "finished_at": null,
         *           "result": null,
         *           "error": null
         *         }
         *       ],
         *       "next_cursor": "kq3Zb1tWvXo0d2hSd0ZrUQ"
         *     }
         */
        JobPage: {
            /** Items */
            items: components["schemas"]["Job"][];
            /**
             * Next Cursor
             * @description For `?cursor=`; none on the last page.
             */
            next_cursor?: string | null;
        };
        /**
         * JobStatus
         * @description `failed` is retried, `rejected` has invalid input, `dead` is kept for an operator.
         * @enum {string}
         */
        JobStatus: "queued" | "running" | "succeeded" | "failed" | "cancelled" | "rejected" | "dead";
        /**
         * MailRecord
         * @description An email with a link or a notice of a change: purpose and recipient, without the link.
         */
        MailRecord: {
            /** Purpose */
            purpose: string;
            /**
             * Email
             * Format: idn-email
             */
            email: string;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Expires At
             * Format: date-time
             */
            expires_at: string;
            /** Used At */
            used_at: string | null;
        };
        /**
         * PasswordChange
         * @example {
         *       "current": "correct horse battery staple",
         *       "new": "staple battery horse correct"
         *     }
         */
        PasswordChange: {
            /**
             * Current
             * Format: password
             */
            current: string;
            /**
             * New
             * Format: password
             * @description 8 to 256 characters, counted after normalisation to NFKC.
             */
            new: string;
        };
        /**
         * PasswordReset
         * @example {
         *       "token": "q7Xw2c9kT0mZr4yVb1nH8sJd",
         *       "password": "correct horse battery staple"
         *     }
         */
        PasswordReset: {
            /**
             * Token
             * Format: password
             */
            token: string;
            /**
             * Password
             * Format: password
             * @description 8 to 256 characters, counted after normalisation to NFKC.
             */
            password: string;
        };
        /**
         * ProblemType
         * @description A kind of problem (RFC 9457 section 4): the page behind the member `type` of an error.
         * @example {
         *       "advice": "Read the resource again, apply the change to the new version, and send its ETag.",
         *       "code": "precondition-failed",
         *       "meaning": "If-Match did not match (RFC 9110 section 15.5.13).",
         *       "repeat": "no",
         *       "status": 412,
         *       "title": "The resource has changed",
         *       "type": "/problems/precondition-failed"
         *     }
         */
        ProblemType: {
            /**
             * Type
             * @description The member `type` of problems of this kind.
             */
            type: string;
            /**
             * Code
             * @description The last part of `type`.
             */
            code: string;
            /**
             * Status
             * Format: int32
             * @description The HTTP status of the response.
             */
            status: number;
            /**
             * Title
             * @description The member `title` of problems of this kind.
             */
            title: string;
            /**
             * Meaning
             * @description What happened.
             */
            meaning: string;
            /**
             * Advice
             * @description What to do.
             */
            advice: string;
            /**
             * Repeat
             * @description `no`: the same request fails again, so change it. `if_safe`: the outcome may be unknown, so repeat GET, PUT and DELETE, and POST with the same Idempotency-Key. `yes`: nothing was done, so repeat any request after `Retry-After`.
             * @enum {string}
             */
            repeat: "no" | "if_safe" | "yes";
        };
        /**
         * ProblemTypeList
         * @description Every kind of problem, by status and code.
         * @example {
         *       "items": [
         *         {
         *           "advice": "Read the resource again, apply the change to the new version, and send its ETag.",
         *           "code": "precondition-failed",
         *           "meaning": "If-Match did not match (RFC 9110 section 15.5.13).",
         *           "repeat": "no",
         *           "status": 412,
         *           "title": "The resource has changed",
         *           "type": "/problems/precondition-failed"
         *         }
         *       ]
         *     }
         */
        ProblemTypeList: {
            /** Items */
            items: components["schemas"]["ProblemType"][];
        };
        /**
         * Role
         * @enum {string}
         */
        Role: "user" | "admin";
        /**
         * ServerMetadata
         * @description Metadata of the token endpoints (RFC 8414).
         * @example {
         *       "issuer": "twelvefold",
         *       "token_endpoint": "https://api.example.com/api/v1/auth/token",
         *       "revocation_endpoint": "https://api.example.com/api/v1/auth/revoke",
         *       "jwks_uri": "https://api.example.com/.well-known/jwks.json",
         *       "service_documentation": "https://api.example.com/docs",
         *       "scopes_supported": [
         *         "users:read",
         *         "users:write"
         *       ],
         *       "response_types_supported": [],
         *       "grant_types_supported": [
         *         "password",
         *         "refresh_token"
         *       ],
         *       "token_endpoint_auth_methods_supported": [
         *         "none"
         *       ],
         *       "revocation_endpoint_auth_methods_supported": [
         *         "none"
         *       ]
         *     }
         */
        ServerMetadata: {
            /** Issuer */
            issuer: string;
            /** Token Endpoint */
            token_endpoint: string;
            /** Revocation Endpoint */
            revocation_endpoint: string;
            /** Jwks Uri */
            jwks_uri: string;
            /** Service Documentation */
            service_documentation: string;
            /** Scopes Supported */
            scopes_supported: string[];
            /** Response Types Supported */
            response_types_supported: string[];
            /** Grant Types Supported */
            grant_types_supported: string[];
            /** Token Endpoint Auth Methods Supported */
            token_endpoint_auth_methods_supported: string[];
            /** Revocation Endpoint Auth Methods Supported */
            revocation_endpoint_auth_methods_supported: string[];
        };
        /**
         * Session
         * @description An active login. Its id is the `sid` of its access tokens.
         */
        Session: {
            /**
             * Id
             * Format: uuid
             */
            id: string;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Last Used At
             * Format: date-time
             */
            last_used_at: string;
            /**
             * Expires At
             * Format: date-time
             */
            expires_at: string;
            /** User Agent */
            user_agent: string | null;
            /** Address */
            address: string | null;
            /**
             * Current
             * @description Whether the caller's token belongs to this session.
             */
            current: boolean;
        };
        /**
         * SessionList
         * @description At most 1,000 sessions, most recently used first.
         * @example {
         *       "items": [
         *         {
         *           "id": "0198c5f1-22c0-7d0b-9a55-0c1d2e3f4a5b",
         *           "created_at": "2026-03-01T09:30:00Z",
         *           "last_used_at": "2026-03-01T09:30:00Z",
         *           "expires_at": "2026-03-31T09:30:00Z",
         *           "user_agent": "curl/8.14.1",
         *           "address": "203.0.113.7",
         *           "current": true
         *         }
         *       ]
         *     }
         */
        SessionList: {
            /** Items */
            items: components["schemas"]["Session"][];
        };
        /**
         * Status
         * @description The health of the process. Its backing services are on the management port only.
         * @example {
         *       "status": "ok"
         *     }
         */
        Status: {
            /**
             * Status
             * @enum {string}
             */
            status: "ok" | "degraded" | "unavailable";
        };
        /**
         * TokenPair
         * @description A successful token response (RFC 6749 section 5.1).
         * @example {
         *       "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwMTk4In0.c2lnbmF0dXJl",
         *       "token_type": "Bearer",
         *       "expires_in": 600,
         *       "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
         *       "scope": "users:read users:write images:read images:write jobs:read jobs:write"
         *     }
         */
        TokenPair: {
            /** Access Token */
            access_token: string;
            /**
             * Token Type
             * @default Bearer
             * @constant
             */
            token_type: "Bearer";
            /**
             * Expires In
             * Format: int64
             * @description Seconds until the access token expires.
             */
            expires_in: number;
            /** Refresh Token */
            refresh_token: string;
            /** Scope */
            scope: string;
        };
        /**
         * User
         * @description An account as its owner and admins see it.
         * @example {
         *       "id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
         *       "email": "ada@example.com",
         *       "name": "Ada Lovelace",
         *       "role": "user",
         *       "email_verified": true,
         *       "disabled": false,
         *       "has_avatar": false,
         *       "created_at": "2026-03-01T09:30:00Z",
         *       "updated_at": "2026-03-01T09:30:00Z"
         *     }
         */
        User: {
            /**
             * Id
             * Format: uuid
             */
            id: string;
            /**
             * Email
             * Format: idn-email
             */
            email: string;
            /** Name */
            name: string;
            role: components["schemas"]["Role"];
            /** Email Verified */
            email_verified: boolean;
            /** Disabled */
            disabled: boolean;
            /** Has Avatar */
            has_avatar: boolean;
            /**
             * Created At
             * Format: date-time
             */
            created_at: string;
            /**
             * Updated At
             * Format: date-time
             */
            updated_at: string;
        };
        /**
         * UserAdminUpdate
         * @description A partial update by an admin: only the given fields change.
         * @example {
         *       "role": "admin"
         *     }
         */
        UserAdminUpdate: {
            role?: components["schemas"]["Role"] | null;
            /**
             * Disabled
             * @description true ends all sessions at once.
             */
            disabled?: boolean | null;
        };
        /**
         * UserCreate
         * @example {
         *       "email": "ada@example.com",
         *       "name": "Ada Lovelace",
         *       "password": "correct horse battery staple"
         *     }
         */
        UserCreate: {
            /**
             * Email
             * Format: idn-email
             * @example ada@example.com
             */
            email: string;
            /**
             * Name
             * @example Ada Lovelace
             */
            name: string;
            /**
             * Password
             * Format: password
             * @description 8 to 256 characters, counted after normalisation to NFKC.
             */
            password: string;
        };
        /**
         * UserExport
         * @description Everything that users stores about an account, except secrets.
         */
        UserExport: {
            user: components["schemas"]["User"];
            /**
             * Password Changed At
             * Format: date-time
             */
            password_changed_at: string;
            /** Email Verified At */
            email_verified_at: string | null;
            /** Disabled At */
            disabled_at: string | null;
            /** Avatar */
            avatar: components["schemas"]["Variant"][];
            /**
             * Pending Email
             * @description A new address that awaits confirmation.
             */
            pending_email?: string | null;
            /**
             * Reserved Emails
             * @description Former addresses that can still be restored.
             */
            reserved_emails?: string[];
            /** Sessions */
            sessions: components["schemas"]["Session"][];
            /**
             * Active Days
             * @description Days (UTC) on which tokens were issued.
             */
            active_days: string[];
            /**
             * Mails
             * @description Emails whose link is valid, and recent notices.
             */
            mails: components["schemas"]["MailRecord"][];
        };
        /**
         * UserList
         * @description One page of accounts, newest first.
         * @example {
         *       "items": [
         *         {
         *           "id": "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3",
         *           "email": "ada@example.com",
         *           "name": "Ada Lovelace",
         *           "role": "user",
         *           "email_verified": true,
         *           "disabled": false,
         *           "has_avatar": false,
         *           "created_at": "2026-03-01T09:30:00Z",
         *           "updated_at": "2026-03-01T09:30:00Z"
         *         }
         *       ],
         *       "next_cursor": "kq3Zb1tWvXo0d2hSd0ZrUQ"
         *     }
         */
        UserList: {
            /** Items */
            items: components["schemas"]["User"][];
            /**
             * Next Cursor
             * @description For `?cursor=`; none on the last page.
             */
            next_cursor?: string | null;
        };
        /**
         * UserUpdate
         * @description A partial update: only the given fields change.
         * @example {
         *       "name": "Ada King"
         *     }
         */
        UserUpdate: {
            /** Name */
            name?: string | null;
        };
        /** Variant */
        Variant: {
            /** Name */
            name: string;
            /** Object Key */
            object_key: string;
            /** Content Type */
            content_type: string;
            /**
             * Width
             * Format: int64
             */
            width: number;
            /**
             * Height
             * Format: int64
             */
            height: number;
            /**
             * Size
             * Format: int64
             * @description Size in bytes.
             */
            size: number;
        };
        /**
         * ProblemError
         * @description One fault of the input.
         */
        ProblemError: {
            /**
             * Pointer
             * @description JSON pointer (RFC 6901) below /body, /query, /path, /header or /cookie.
             */
            pointer: string;
            /** Detail */
            detail: string;
        };
        /**
         * Problem
         * @description An error (RFC 9457).
         * @example {
         *       "detail": "There is no such image.",
         *       "instance": "/api/v1/images/0190f7a0-0000-7000-8000-000000000000",
         *       "request_id": "0190f7a000007000800000000000000a",
         *       "status": 404,
         *       "title": "Not found",
         *       "type": "/problems/not-found"
         *     }
         */
        Problem: {
            /**
             * Type
             * @description Stable URI reference of the kind of problem.
             */
            type: string;
            /** Title */
            title: string;
            /**
             * Status
             * Format: int64
             */
            status: number;
            /** Detail */
            detail: string;
            /**
             * Instance
             * @description Path of the request.
             */
            instance: string;
            /**
             * Request Id
             * @description As in X-Request-ID; quote it to support.
             * @default null
             */
            request_id: string | null;
            /**
             * Errors
             * @description Faults of the input, if known.
             * @default null
             */
            errors: components["schemas"]["ProblemError"][] | null;
        };
    };
    responses: {
        /** @description Bad request */
        BadRequest: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/bad-request",
                 *       "title": "Bad request",
                 *       "status": 400,
                 *       "detail": "Bad request",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Conflict with the present state */
        Conflict: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/conflict",
                 *       "title": "Conflict with the present state",
                 *       "status": 409,
                 *       "detail": "Conflict with the present state",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Not allowed */
        Forbidden: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/forbidden",
                 *       "title": "Not allowed",
                 *       "status": 403,
                 *       "detail": "Not allowed",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Internal error */
        Internal: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/internal",
                 *       "title": "Internal error",
                 *       "status": 500,
                 *       "detail": "Internal error",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Invalid content */
        Invalid: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/invalid",
                 *       "title": "Invalid content",
                 *       "status": 422,
                 *       "detail": "Invalid content",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Not found */
        NotFound: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/not-found",
                 *       "title": "Not found",
                 *       "status": 404,
                 *       "detail": "Not found",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Body too large */
        PayloadTooLarge: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/payload-too-large",
                 *       "title": "Body too large",
                 *       "status": 413,
                 *       "detail": "Body too large",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The resource has changed */
        PreconditionFailed: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/precondition-failed",
                 *       "title": "The resource has changed",
                 *       "status": 412,
                 *       "detail": "The resource has changed",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description If-Match is required */
        PreconditionRequired: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/precondition-required",
                 *       "title": "If-Match is required",
                 *       "status": 428,
                 *       "detail": "If-Match is required",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Too many requests */
        TooManyRequests: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "Retry-After": components["headers"]["Retry-After"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/too-many-requests",
                 *       "title": "Too many requests",
                 *       "status": 429,
                 *       "detail": "Too many requests",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Authentication required */
        Unauthenticated: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "WWW-Authenticate": components["headers"]["WWW-Authenticate"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/unauthenticated",
                 *       "title": "Authentication required",
                 *       "status": 401,
                 *       "detail": "Authentication required",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Temporarily unavailable */
        Unavailable: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "Retry-After": components["headers"]["Retry-After"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/unavailable",
                 *       "title": "Temporarily unavailable",
                 *       "status": 503,
                 *       "detail": "Temporarily unavailable",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Media type not supported */
        UnsupportedMediaType: {
            headers: {
                "X-Request-ID": components["headers"]["X-Request-ID"];
                "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                RateLimit: components["headers"]["RateLimit"];
                [name: string]: unknown;
            };
            content: {
                /**
                 * @example {
                 *       "type": "/problems/unsupported-media-type",
                 *       "title": "Media type not supported",
                 *       "status": 415,
                 *       "detail": "Media type not supported",
                 *       "instance": "/api/v1/images",
                 *       "request_id": "0198c5f07b2a7c318f4d93b7e05d6a22"
                 *     }
                 */
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: {
        /**
         * @description Id of the request: the client's own if it sent one.
         * @example 0198c5f07b2a7c318f4d93b7e05d6a22
         */
        "X-Request-ID": string;
        /**
         * @description Seconds to wait before trying again.
         * @example 2
         */
        "Retry-After": string;
        /**
         * @description What is wrong with the credentials (RFC 6750).
         * @example Bearer realm="twelvefold"
         */
        "WWW-Authenticate": string;
        /**
         * @description Quota and window in seconds, by policy.
         * @example "user";q=300;w=60
         */
        "RateLimit-Policy": string;
        /**
         * @description What remains, and seconds until it is whole.
         * @example "user";r=299;t=1
         */
        RateLimit: string;
    };
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    list_users: {
        parameters: {
            query?: {
                /** @description Maximum number of items in the page. */
                limit?: number;
                /** @description `next_cursor` of the previous page. */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Newest first */
            200: {
                headers: {
                    /**
                     * @description Next page, `rel="next"`; absent on the last one.
                     * @example </api/v1/images?cursor=…>; rel="next"
                     */
                    Link?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UserList"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    create_user: {
        parameters: {
            query?: never;
            header?: {
                /** @description A value of your choice, new for each operation. A repeated request with the same key and body gets the first response again, for 24 hours. */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UserCreate"];
            };
        };
        responses: {
            /** @description The account; a welcome email was queued */
            201: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    /**
                     * @description Only where this is the response to an earlier request with the same key.
                     * @example true
                     */
                    "Idempotency-Replayed"?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            400: components["responses"]["BadRequest"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_me: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag of the caller's copy. */
                "if-none-match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The caller's account */
            200: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            /** @description Not modified: the caller's copy is current */
            304: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    delete_me: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag of the version that the change is based on. */
                "if-match"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["Conflict"];
            412: components["responses"]["PreconditionFailed"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    update_me: {
        parameters: {
            query?: never;
            header: {
                /** @description ETag of the version that the change is based on. */
                "if-match": string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UserUpdate"];
            };
        };
        responses: {
            /** @description The account after the change */
            200: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            428: components["responses"]["PreconditionRequired"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_user: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag of the caller's copy. */
                "if-none-match"?: string;
            };
            path: {
                /** @description Id of the account. */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The account */
            200: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            /** @description Not modified: the caller's copy is current */
            304: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    update_user: {
        parameters: {
            query?: never;
            header: {
                /** @description ETag of the version that the change is based on. */
                "if-match": string;
            };
            path: {
                /** @description Id of the account. */
                user_id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["UserAdminUpdate"];
            };
        };
        responses: {
            /** @description The account after the change */
            200: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["User"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["Conflict"];
            412: components["responses"]["PreconditionFailed"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            428: components["responses"]["PreconditionRequired"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    put_my_avatar: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** @description The bytes of the image. They determine its type, not the header. */
        requestBody: {
            content: {
                "image/jpeg": string;
                "image/png": string;
                "image/webp": string;
                "application/octet-stream": string;
            };
        };
        responses: {
            /** @description The job that makes its variants */
            202: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_avatar: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the account. */
                user_id: string;
                /** @description Longest side: 128, 512, 1024. */
                variant: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Redirect to a URL that serves the bytes for 5 minutes */
            307: {
                headers: {
                    /**
                     * @description Presigned URL.
                     * @example https://objects.example/…?X-Amz-Signature=…
                     */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    change_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordChange"];
            };
        };
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    change_email: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailChange"];
            };
        };
        responses: {
            /** @description The same response for taken and free addresses */
            202: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    list_my_sessions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The latest used first */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SessionList"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    end_my_session: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the session. */
                session_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    export_me: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The account, its images and jobs, and what further services keep */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AccountExport"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_daily_analytics: {
        parameters: {
            query: {
                /** @description First day (UTC). */
                from: string;
                /** @description Last day (UTC); at most 366 days in all. */
                to: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A row for every day, zeros included */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["DailyAnalyticsReport"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    create_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "grant_type": "password",
                 *       "username": "ada@example.com",
                 *       "password": "correct horse battery"
                 *     }
                 */
                "application/x-www-form-urlencoded": {
                    /** @constant */
                    grant_type: "password";
                    /** @description Email address of the account. */
                    username: string;
                    /** Format: password */
                    password: string;
                    /** @description Ignored: the response states the granted scope. */
                    scope?: string;
                } | {
                    /** @constant */
                    grant_type: "refresh_token";
                    refresh_token: string;
                    /** @description Ignored: the response states the granted scope. */
                    scope?: string;
                };
            };
        };
        responses: {
            /** @description An access token of 10 minutes and a refresh token */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenPair"];
                };
            };
            /** @description Refused (RFC 6749 section 5.2) */
            400: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "error": "invalid_grant",
                     *       "error_description": "wrong credentials"
                     *     }
                     */
                    "application/json": {
                        /** @enum {string} */
                        error: "invalid_request" | "invalid_client" | "invalid_grant" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope";
                        error_description?: string;
                    };
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            413: components["responses"]["PayloadTooLarge"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    revoke_token: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "token": "mF_9.B5f-4.1JqM"
                 *     }
                 */
                "application/x-www-form-urlencoded": {
                    /** @description A refresh or an access token. */
                    token: string;
                    /** @description Ignored: the token says itself what it is. */
                    token_type_hint?: string;
                };
            };
        };
        responses: {
            /** @description Revoked, or unknown */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description Refused (RFC 6749 section 5.2) */
            400: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "error": "invalid_grant",
                     *       "error_description": "wrong credentials"
                     *     }
                     */
                    "application/json": {
                        /** @enum {string} */
                        error: "invalid_request" | "invalid_client" | "invalid_grant" | "unauthorized_client" | "unsupported_grant_type" | "invalid_scope";
                        error_description?: string;
                    };
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            413: components["responses"]["PayloadTooLarge"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    request_email_verification: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailAddress"];
            };
        };
        responses: {
            /** @description The same response with and without an account */
            202: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    confirm_email: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailConfirmation"];
            };
        };
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    request_password_reset: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailAddress"];
            };
        };
        responses: {
            /** @description The same response with and without an account */
            202: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    reset_password: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["PasswordReset"];
            };
        };
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    undo_email_change: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["EmailChangeUndo"];
            };
        };
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    list_images: {
        parameters: {
            query?: {
                /** @description Maximum number of items in the page. */
                limit?: number;
                /** @description `next_cursor` of the previous page. */
                cursor?: string;
                /** @description The owner. Default: the caller; for admins all owners. */
                owner_id?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Newest first */
            200: {
                headers: {
                    /**
                     * @description Next page, `rel="next"`; absent on the last one.
                     * @example </api/v1/images?cursor=…>; rel="next"
                     */
                    Link?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImagePage"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    create_image: {
        parameters: {
            query?: never;
            header?: {
                /** @description A value of your choice, new for each operation. A repeated request with the same key and body gets the first response again, for 24 hours. */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        /** @description The bytes of the image. They determine its type, not the header. */
        requestBody: {
            content: {
                "image/jpeg": string;
                "image/png": string;
                "image/webp": string;
                "application/octet-stream": string;
            };
        };
        responses: {
            /** @description Stored; a job makes its variants */
            202: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    /**
                     * @description Next page, `rel="next"`; absent on the last one.
                     * @example </api/v1/images?cursor=…>; rel="next"
                     */
                    Link?: string;
                    /**
                     * @description Only where this is the response to an earlier request with the same key.
                     * @example true
                     */
                    "Idempotency-Replayed"?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ImageAccepted"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_image: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag of the caller's copy. */
                "if-none-match"?: string;
            };
            path: {
                /** @description Id of the image. */
                image_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The image */
            200: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Image"];
                };
            };
            /** @description Not modified: the caller's copy is current */
            304: {
                headers: {
                    /**
                     * @description Version of the resource, for If-Match and If-None-Match.
                     * @example "v3"
                     */
                    ETag?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    delete_image: {
        parameters: {
            query?: never;
            header?: {
                /** @description ETag of the version that the change is based on. */
                "if-match"?: string;
            };
            path: {
                /** @description Id of the image. */
                image_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            412: components["responses"]["PreconditionFailed"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_image_variant: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the image. */
                image_id: string;
                /** @description Longest side: 128, 512, 1024. */
                variant: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Redirect to a URL that serves the bytes for 5 minutes */
            307: {
                headers: {
                    /**
                     * @description Presigned URL.
                     * @example https://objects.example/…?X-Amz-Signature=…
                     */
                    Location?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    list_jobs: {
        parameters: {
            query?: {
                /** @description Maximum number of items in the page. */
                limit?: number;
                /** @description `next_cursor` of the previous page. */
                cursor?: string;
                /** @description The owner. Default: the caller; for admins all owners. */
                owner_id?: string;
                /** @description Only with this status. */
                status?: components["schemas"]["JobStatus"];
                /** @description Only of this type. */
                type?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Newest first */
            200: {
                headers: {
                    /**
                     * @description Next page, `rel="next"`; absent on the last one.
                     * @example </api/v1/images?cursor=…>; rel="next"
                     */
                    Link?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["JobPage"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    create_job: {
        parameters: {
            query?: never;
            header?: {
                /** @description A value of your choice, new for each operation. A repeated request with the same key and body gets the first response again, for 24 hours. */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["JobCreate"];
            };
        };
        responses: {
            /** @description It will run */
            202: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    /**
                     * @description Only where this is the response to an earlier request with the same key.
                     * @example true
                     */
                    "Idempotency-Replayed"?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            409: components["responses"]["Conflict"];
            413: components["responses"]["PayloadTooLarge"];
            415: components["responses"]["UnsupportedMediaType"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_job: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of the job. */
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The job */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    cancel_job: {
        parameters: {
            query?: never;
            header?: {
                /** @description A value of your choice, new for each operation. A repeated request with the same key and body gets the first response again, for 24 hours. */
                "idempotency-key"?: string;
            };
            path: {
                /** @description Id of the job. */
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Cancelled; a running job is asked to stop */
            202: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    /**
                     * @description Only where this is the response to an earlier request with the same key.
                     * @example true
                     */
                    "Idempotency-Replayed"?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["Conflict"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    retry_job: {
        parameters: {
            query?: never;
            header?: {
                /** @description A value of your choice, new for each operation. A repeated request with the same key and body gets the first response again, for 24 hours. */
                "idempotency-key"?: string;
            };
            path: {
                /** @description Id of the job. */
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It will run */
            202: {
                headers: {
                    /**
                     * @description Path of the new resource.
                     * @example /api/v1/jobs/0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22
                     */
                    Location?: string;
                    /**
                     * @description Only where this is the response to an earlier request with the same key.
                     * @example true
                     */
                    "Idempotency-Replayed"?: string;
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Job"];
                };
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            409: components["responses"]["Conflict"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    watch_job: {
        parameters: {
            query?: never;
            header?: {
                /** @description Id of the last event that the caller has received. */
                "last-event-id"?: string;
            };
            path: {
                /** @description Id of the job. */
                job_id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Events `state` and `progress` with the job as data, and `end` with the reason */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example id: 3
                     *     event: state
                     *     data: {"id": "…", "status": "succeeded", …}
                     *
                     *     event: end
                     *     data: {"reason": "finished", "status": "succeeded"}
                     */
                    "text/event-stream": string;
                };
            };
            /** @description The job has ended and Last-Event-ID is its last version: do not reconnect */
            204: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content?: never;
            };
            400: components["responses"]["BadRequest"];
            401: components["responses"]["Unauthenticated"];
            403: components["responses"]["Forbidden"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_jwks: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A JWK set */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            400: components["responses"]["BadRequest"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_server_metadata: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The metadata */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServerMetadata"];
                };
            };
            400: components["responses"]["BadRequest"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    list_problem_types: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description By status and code */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProblemTypeList"];
                    "text/html": string;
                };
            };
            400: components["responses"]["BadRequest"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_problem_type: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description The last part of `type`. */
                code: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description What it means, what to do, whether to repeat the request */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "RateLimit-Policy": components["headers"]["RateLimit-Policy"];
                    RateLimit: components["headers"]["RateLimit"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ProblemType"];
                    "text/html": string;
                };
            };
            400: components["responses"]["BadRequest"];
            404: components["responses"]["NotFound"];
            422: components["responses"]["Invalid"];
            429: components["responses"]["TooManyRequests"];
            500: components["responses"]["Internal"];
            503: components["responses"]["Unavailable"];
        };
    };
    get_health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The API responds; `degraded` if a backing service is down */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Status"];
                };
            };
            400: components["responses"]["BadRequest"];
            500: components["responses"]["Internal"];
            /** @description The process is starting or draining */
            503: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Status"];
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    get_ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The API responds; `degraded` if a backing service is down */
            200: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Status"];
                };
            };
            400: components["responses"]["BadRequest"];
            500: components["responses"]["Internal"];
            /** @description The process is starting or draining */
            503: {
                headers: {
                    "X-Request-ID": components["headers"]["X-Request-ID"];
                    "Retry-After": components["headers"]["Retry-After"];
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Status"];
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
