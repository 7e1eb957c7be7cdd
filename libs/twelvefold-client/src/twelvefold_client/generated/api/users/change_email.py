from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.email_change import EmailChange


def build(
    body: EmailChange,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/users/me/email",
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
    name="change_email",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
