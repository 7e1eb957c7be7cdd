from typing import Any

import httpx

from ... import errors
from ...client import Operation
from ...models.job import Job
from ...models.job_create import JobCreate
from ...types import UNSET, Unset


def build(
    body: JobCreate,
    *,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request as arguments of httpx."""
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["idempotency-key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "POST",
        "url": "/api/v1/jobs",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"
    _kwargs["headers"] = headers
    return _kwargs


def _parse(response: httpx.Response) -> Job:
    if response.status_code == 202:
        response_202 = Job.from_dict(response.json())

        return response_202
    raise errors.UnexpectedStatus(response.status_code, response.content)


OPERATION = Operation(
    name="create_job",
    takes_key=True,
    needs_token=True,
    parse=_parse,
)
