from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.user import User
from ...models.user_create import UserCreate
from ...types import UNSET, Unset


def build(
    body: UserCreate,
    *,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["idempotency-key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/users",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> User:
    if response.status_code == 201:
        response_201 = User.from_dict(response.json())

        return response_201
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="create_user",
    takes_key=True,
    needs_token=False,
    parse=_parse,
)
