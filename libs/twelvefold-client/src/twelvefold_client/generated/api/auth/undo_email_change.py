from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.email_change_undo import EmailChangeUndo


def build(
    body: EmailChangeUndo,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/auth/email-changes/undo",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> None:
    if response.status_code == 204:
        return None
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="undo_email_change",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
