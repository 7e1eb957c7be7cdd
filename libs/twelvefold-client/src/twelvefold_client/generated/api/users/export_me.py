from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.account_export import AccountExport


def build() -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/users/me/export",
    }

    return _kwargs


def _parse(response: httpx.Response) -> AccountExport:
    if response.status_code == 200:
        response_200 = AccountExport.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="export_me",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
