from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...types import UNSET, Unset


def build(
    *,
    if_match: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(if_match, Unset):
        headers["if-match"] = if_match

    _kwargs: dict[str, Any] = {
        "method": "DELETE",
        "url": "/api/v1/users/me",
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> None:
    if response.status_code == 204:
        return None
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="delete_me",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
