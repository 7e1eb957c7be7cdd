from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.job import Job
from ...types import Upload


def build(
    body: Upload,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "PUT",
        "url": "/api/v1/users/me/avatar",
    }

    _kwargs["content"] = body
    headers["Content-Type"] = "application/octet-stream"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> Job:
    if response.status_code == 202:
        response_202 = Job.from_dict(response.json())

        return response_202
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="put_my_avatar",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
