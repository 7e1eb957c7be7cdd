from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation


def build(
    image_id: UUID,
    variant: str,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/images/{image_id}/{variant}".format(
            image_id=quote(str(image_id), safe=""),
            variant=quote(str(variant), safe=""),
        ),
    }

    return _kwargs


def _parse(response: httpx.Response) -> str:
    if response.status_code == 307:
        return response.headers["location"]
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_image_variant",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
