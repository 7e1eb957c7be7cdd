from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.server_metadata import ServerMetadata


def build() -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/.well-known/oauth-authorization-server",
    }

    return _kwargs


def _parse(response: httpx.Response) -> ServerMetadata:
    if response.status_code == 200:
        response_200 = ServerMetadata.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_server_metadata",
    takes_key=False,
    needs_token=False,
    parse=_parse,
)
