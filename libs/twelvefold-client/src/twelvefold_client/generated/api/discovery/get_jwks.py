from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.get_jwks_response_get_jwks import GetJwksResponseGetJwks


def build() -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/.well-known/jwks.json",
    }

    return _kwargs


def _parse(response: httpx.Response) -> GetJwksResponseGetJwks:
    if response.status_code == 200:
        response_200 = GetJwksResponseGetJwks.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_jwks",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
