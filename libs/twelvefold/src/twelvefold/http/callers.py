"""Who may call an internal port: each calling service has a name and a secret of its own.

The callee compares the secret in constant time, with or without a mesh. `internal` is the client.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated

from fastapi import Header, Request
from pydantic import SecretStr

from twelvefold.errors import Forbidden, Unauthenticated

CALLERS = "__callers__"  # attribute of the dependency, which the OpenAPI document shows


class CallerUnknown(Unauthenticated):
    """The calling service's name or secret is wrong, which is no fault of the client behind it."""

    code, title = "caller-unknown", "Unknown caller"


class CallerNotAllowed(Forbidden):
    """The calling service may not use this route, which is no fault of the client behind it."""

    code, title = "caller-refused", "Caller not admitted"


def require_caller(*callers: str) -> Callable[..., Awaitable[str]]:
    """Return a FastAPI dependency that admits only these callers and returns the caller's name.

    Accepted secrets are `app.state.callers` (name -> several, so that one can be rotated). The
    dependency raises CallerUnknown for a wrong secret, CallerNotAllowed for any other caller.
    """

    async def check(
        request: Request,
        x_caller: Annotated[str, Header(include_in_schema=False)] = "",
        x_caller_secret: Annotated[str, Header(include_in_schema=False)] = "",
    ) -> str:
        accepted: Mapping[str, list[str | SecretStr]] = request.app.state.callers
        secret = x_caller_secret.encode()
        # All are compared, so that the time does not reveal which of them matches.
        matches = [
            hmac.compare_digest(secret, reveal(known).encode())
            for known in accepted.get(x_caller, [])
        ]
        if not any(matches):
            raise CallerUnknown("Unknown caller or wrong secret.")
        if x_caller not in callers:
            raise CallerNotAllowed("This caller may not use this route.")
        return x_caller

    setattr(check, CALLERS, callers)
    return check


def reveal(secret: str | SecretStr) -> str:
    """Return the secret in plain text."""
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret
