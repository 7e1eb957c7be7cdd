from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation
from ...types import UNSET, Unset


def build(
    job_id: UUID,
    *,
    last_event_id: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(last_event_id, Unset):
        headers["last-event-id"] = last_event_id

    _kwargs: dict[str, Any] = {
        "method": "GET",
        "url": "/api/v1/jobs/{job_id}/events".format(
            job_id=quote(str(job_id), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> str | None:
    if response.status_code == 200:
        return cast(str, response.text)
    if response.status_code == 204:
        return None
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="watch_job",
    takes_key=False,
    needs_token=True,
    parse=_parse,
)
