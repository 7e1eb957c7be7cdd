"""A typed client of the Twelvefold API.

    with Twelvefold("https://api.example.com") as client:
        client.log_in("ada@example.com", "correct horse battery staple")
        for job in client.iterate(client.list_jobs):
            print(job.status)

`models` holds the bodies. `generated` is written from the OpenAPI document; the rest is by hand:
tries, tokens, events, uploads and errors.
"""

from .async_client import AsyncTwelvefold
from .client import Twelvefold
from .events import JobEvent, JobGone
from .generated import models
from .generated.types import UNSET, Response, Unset, Upload
from .problems import (
    ApiProblem,
    Fault,
    LoginRequired,
    NotModified,
    OutcomeUnknown,
    TokenRefused,
    TwelvefoldError,
    Unreachable,
)
from .retries import RetryBudget, RetryPolicy
from .tokens import Tokens

__all__ = [
    "UNSET",
    "ApiProblem",
    "AsyncTwelvefold",
    "Fault",
    "JobEvent",
    "JobGone",
    "LoginRequired",
    "NotModified",
    "OutcomeUnknown",
    "Response",
    "RetryBudget",
    "RetryPolicy",
    "TokenRefused",
    "Tokens",
    "Twelvefold",
    "TwelvefoldError",
    "Unreachable",
    "Unset",
    "Upload",
    "models",
]
