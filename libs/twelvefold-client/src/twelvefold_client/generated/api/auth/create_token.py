from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.create_token_password_grant import CreateTokenPasswordGrant
from ...models.create_token_refresh_token_grant import CreateTokenRefreshTokenGrant
from ...models.token_pair import TokenPair


def build(
    body: CreateTokenPasswordGrant | CreateTokenRefreshTokenGrant,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/auth/token",
    }

    _kwargs["data"] = body.to_dict()

    headers["Content-Type"] = "application/x-www-form-urlencoded"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> TokenPair:
    if response.status_code == 200:
        response_200 = TokenPair.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="create_token",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
