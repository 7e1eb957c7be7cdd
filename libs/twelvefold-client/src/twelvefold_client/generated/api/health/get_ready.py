from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.status import Status


def build() -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/ready",
    }

    return _kwargs


def _parse(response: httpx.Response) -> Status:
    if response.status_code == 200:
        response_200 = Status.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_ready",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
