from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.image_accepted import ImageAccepted
from ...types import UNSET, Unset, Upload


def build(
    body: Upload,
    *,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["idempotency-key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/images",
    }

    _kwargs["content"] = body
    headers["Content-Type"] = "application/octet-stream"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> ImageAccepted:
    if response.status_code == 202:
        response_202 = ImageAccepted.from_dict(response.json())

        return response_202
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="create_image",
    takes_key=True,
    needs_token=True,
    parse=_parse,
)
