"""/api/v1/jobs: start, list, show, cancel, retry, watch."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response, StreamingResponse

from api.dependencies import Services
from api.event_stream import EventStreamResponse, head_response, last_version
from api.schemas import Job, JobCreate, JobPage
from twelvefold.http.edge.parameters import Cursor, Id, IdempotencyKey, PageLimit
from twelvefold.http.edge.policies import signed_in
from twelvefold.http.edge.responses import (
    Responses,
    described,
    document_problems,
    json_response,
    page,
    position_of,
    replied,
    reply,
)
from twelvefold.http.middleware.header_fields import MAX_FIELD_BYTES
from twelvefold.http.middleware.routing import is_head
from twelvefold.http.rest.idempotency import StoredResponse
from twelvefold.jobs import JobRecord, JobStatus
from twelvefold.security.client_key import client_key
from twelvefold.security.principals import Principal

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
ReadsJobs = Annotated[Principal, signed_in("jobs:read")]
WritesJobs = Annotated[Principal, signed_in("jobs:write")]
JobId = Annotated[Id, Path(description="Id of the job.")]
_STREAM: Responses = {
    200: {
        "description": (
            "Events `state` and `progress` with the job as data, and `end` with the reason"
        ),
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (
                    'id: 3\nevent: state\ndata: {"id": "…", "status": "succeeded", …}\n\n'
                    'event: end\ndata: {"reason": "finished", "status": "succeeded"}\n\n'
                ),
            }
        },
    },
    204: {
        "description": "The job has ended and Last-Event-ID is its last version: do not reconnect"
    },
}


def _accepted(job: JobRecord) -> StoredResponse:
    return reply(Job.of(job), 202, {"Location": f"{router.prefix}/{job.id}"})


@router.post(
    "",
    operation_id="create_job",
    summary="Start a job",
    status_code=202,
    response_model=Job,
    responses={
        **described(202, "It will run", "Location", "Idempotency-Replayed"),
        **document_problems(401, 403, 409, 413, 415, 422),
    },
)
async def create_job(
    request: Request,
    new: JobCreate,
    principal: WritesJobs,
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """It runs at least once, and its effects happen once. 429 where too many jobs wait."""
    body = await request.body()
    operation = services.keys.once(str(principal.id), idempotency_key, "POST /jobs", body)
    return replied(
        await services.jobs.create(
            principal, new.type, new.payload, operation=operation, respond=_accepted
        )
    )


@router.get(
    "",
    operation_id="list_jobs",
    summary="List jobs",
    response_model=JobPage,
    responses={**described(200, "Newest first", "Link"), **document_problems(401, 403, 422)},
)
async def list_jobs(
    request: Request,
    principal: ReadsJobs,
    services: Services,
    limit: PageLimit = 20,
    cursor: Cursor = None,
    owner_id: Annotated[
        Id | None, Query(description="The owner. Default: the caller; for admins all owners.")
    ] = None,
    status: Annotated[JobStatus | None, Query(description="Only with this status.")] = None,
    type: Annotated[  # noqa: A002 (the contract's name)
        str | None, Query(max_length=100, description="Only of this type.")
    ] = None,
) -> Response:
    """The caller's jobs; for admins those of every account. Ended jobs are pruned in time."""
    cursors = services.job_cursors
    rows = await services.jobs.list(
        principal,
        owner_id=owner_id,
        status=status,
        kind=type,
        limit=limit + 1,
        after=None if cursor is None else cursors.decode(cursor),
    )
    return page(request, rows, limit, cursors, position=position_of, view=Job.item)


@router.get(
    "/{job_id}",
    operation_id="get_job",
    summary="Show a job",
    response_model=Job,
    responses={**described(200, "The job"), **document_problems(401, 403, 404, 422)},
)
async def get_job(job_id: JobId, principal: ReadsJobs, services: Services) -> Response:
    """404 for jobs of other accounts. To follow a job, watch its events instead of polling."""
    return json_response(Job.of(await services.jobs.get(principal, job_id)))


@router.post(
    "/{job_id}/cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=202,
    response_model=Job,
    responses={
        **described(
            202, "Cancelled; a running job is asked to stop", "Location", "Idempotency-Replayed"
        ),
        **document_problems(401, 403, 404, 409, 422),
    },
)
async def cancel_job(
    job_id: JobId,
    principal: WritesJobs,
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A job that has ended is 409. A running job is cancelled once its handler has stopped."""
    operation = services.keys.once(
        str(principal.id), idempotency_key, f"POST /jobs/{job_id}/cancel"
    )
    return replied(
        await services.jobs.cancel(principal, job_id, operation=operation, respond=_accepted)
    )


@router.post(
    "/{job_id}/retry",
    operation_id="retry_job",
    summary="Run an unsuccessful job again",
    status_code=202,
    response_model=Job,
    responses={
        **described(202, "It will run", "Location", "Idempotency-Replayed"),
        **document_problems(401, 403, 404, 409, 422),
    },
)
async def retry_job(
    job_id: JobId,
    principal: WritesJobs,
    services: Services,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Only a dead, failed or cancelled job; any other is 409. Its attempts are counted anew."""
    operation = services.keys.once(str(principal.id), idempotency_key, f"POST /jobs/{job_id}/retry")
    return replied(
        await services.jobs.retry(principal, job_id, operation=operation, respond=_accepted)
    )


@router.get(
    "/{job_id}/events",
    operation_id="watch_job",
    summary="Watch a job until it ends",
    response_class=StreamingResponse,
    responses={**_STREAM, **document_problems(401, 403, 404, 422, 429)},
)
async def watch_job(
    request: Request,
    job_id: JobId,
    principal: ReadsJobs,
    services: Services,
    last_event_id: Annotated[
        str | None,
        Header(
            description="Id of the last event that the caller has received.",
            json_schema_extra={"maxLength": MAX_FIELD_BYTES},
        ),
    ] = None,
) -> Response:
    """Server-sent events. The stream ends with the job or with the token, whichever ends first."""
    known = last_version(last_event_id)
    job = await services.jobs.get(principal, job_id)
    if job.status.is_terminal and known == job.version:
        return Response(status_code=204)
    if is_head(request.scope):
        return head_response()
    address = client_key(request.client.host if request.client else None)
    frames = services.streams.stream(
        services.jobs.changes(job_id),
        principal,
        after=known,
        still_valid=partial(services.authenticator.is_valid, principal),
    )
    return EventStreamResponse(frames, services.streams.places.hold(principal.id, address))
