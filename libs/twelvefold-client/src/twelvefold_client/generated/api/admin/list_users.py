from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.user_list import UserList
from ...types import UNSET, Unset


def build(
    *,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["cursor"] = cursor

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/users",
        "params": params,
    }

    return _kwargs


def _parse(response: httpx.Response) -> UserList:
    if response.status_code == 200:
        response_200 = UserList.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="list_users",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
