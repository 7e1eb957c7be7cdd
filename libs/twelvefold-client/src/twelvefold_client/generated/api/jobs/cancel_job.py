from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import Operation
from ...models.job import Job
from ...types import UNSET, Unset


def build(
    job_id: UUID,
    *,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["idempotency-key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/jobs/{job_id}/cancel".format(
            job_id=quote(str(job_id), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> Job:
    if response.status_code == 202:
        response_202 = Job.from_dict(response.json())

        return response_202
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="cancel_job",
    takes_key=True,
    needs_token=True,
    parse=_parse,
)
