from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.email_address import EmailAddress


def build(
    body: EmailAddress,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/auth/password-resets",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> None:
    if response.status_code == 202:
        return None
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="request_password_reset",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
