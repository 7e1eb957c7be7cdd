from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation
from ...models.user import User
from ...models.user_admin_update import UserAdminUpdate


def build(
    user_id: UUID,
    body: UserAdminUpdate,
    *,
    if_match: str,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    headers["if-match"] = if_match

    _kwargs: dict[str, Any] = {
        "method": "PATCH",
        "url": "/api/v1/users/{user_id}".format(
            user_id=quote(str(user_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> User:
    if response.status_code == 200:
        response_200 = User.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="update_user",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
