from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation
from ...models.image import Image
from ...types import UNSET, Unset


def build(
    image_id: UUID,
    *,
    if_none_match: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(if_none_match, Unset):
        headers["if-none-match"] = if_none_match

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/images/{image_id}".format(
            image_id=quote(str(image_id), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> Image:
    if response.status_code == 200:
        response_200 = Image.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="get_image",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
