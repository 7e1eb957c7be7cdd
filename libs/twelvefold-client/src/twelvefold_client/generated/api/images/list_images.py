from typing import Any
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation
from ...models.image_page import ImagePage
from ...types import UNSET, Unset


def build(
    *,
    limit: int | Unset = 20,
    cursor: str | Unset = UNSET,
    owner_id: UUID | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["cursor"] = cursor

    json_owner_id: str | Unset = UNSET
    if not isinstance(owner_id, Unset):
        json_owner_id = str(owner_id)
    params["owner_id"] = json_owner_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/images",
        "params": params,
    }

    return _kwargs


def _parse(response: httpx.Response) -> ImagePage:
    if response.status_code == 200:
        response_200 = ImagePage.from_dict(response.json())

        return response_200
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="list_images",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
