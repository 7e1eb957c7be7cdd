from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.revoke_token_token_revocation import RevokeTokenTokenRevocation


def build(
    body: RevokeTokenTokenRevocation,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/auth/revoke",
    }

    _kwargs["data"] = body.to_dict()

    headers["Content-Type"] = "application/x-www-form-urlencoded"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> None:
    if response.status_code == 200:
        return None
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="revoke_token",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
