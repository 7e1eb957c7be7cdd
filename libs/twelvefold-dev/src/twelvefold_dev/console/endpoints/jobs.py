"""The endpoints of jobs and queues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.sources.jobs import MAX_LIMIT, RETRYABLE
from twelvefold_dev.console.state import JOBS, ConsoleState

from .responses import get, json_response, number, post, require

_DEFAULT_LIMIT = 50


class JobEndpoints:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        return [
            get("jobs", self.jobs),
            get("queues", self.queues),
            post("queues/{queue}/{action}", self.change_queue),
            post("jobs/retry", self.retry_all),
            get("jobs/{job_id:uuid}", self.job),
            post("jobs/{job_id:uuid}/{action}", self.change_job),
        ]

    async def jobs(self, request: Request) -> Response:
        parameters, state = request.query_params, self._state
        before = number(request, "before")
        items = await state.jobs.newest(
            status=parameters.get("status") or None,
            kind=parameters.get("kind") or None,
            before=datetime.fromtimestamp(before / 1e6, UTC) if before else None,
            limit=number(request, "limit", maximum=MAX_LIMIT) or _DEFAULT_LIMIT,
        )
        return json_response({"items": items, "counts": await state.jobs.counts()})

    async def job(self, request: Request) -> Response:
        return json_response(require(await self._state.jobs.one(_job_id(request)), "job"))

    async def queues(self, _: Request) -> Response:
        """Return depth, workers and schedule of all queues."""
        processes = self._state.processes.of_services()
        return json_response(await self._state.queues.read(processes))

    async def change_queue(self, request: Request) -> Response:
        """Pause or resume a queue: stop or start the processes that only work on it."""
        action = {"pause": "stop", "resume": "start"}.get(request.path_params["action"])
        if action is None:
            raise HTTPException(404, "The actions on a queue are pause and resume.")
        workers = self._state.queues.pausable_workers(request.path_params["queue"])
        if not workers:
            raise HTTPException(409, "The queue has no process that only works on it.")
        for worker in workers:
            await self._state.control.change(worker, action)
        await self._state.poll()
        return Response(status_code=204)

    async def change_job(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in ("retry", "cancel"):
            raise HTTPException(404, "The actions on a job are retry and cancel.")
        change = require(await self._state.jobs.change(action, _job_id(request)), "job")
        if not change["changed"]:
            raise HTTPException(409, f"The job is {change['status']}: nothing to {action}.")
        self._state.live.notify(JOBS)
        return json_response(change)

    async def retry_all(self, request: Request) -> Response:
        """Retry the jobs of one state and, if it is named, of one kind."""
        status = request.query_params.get("status", "")
        if status not in RETRYABLE:
            raise HTTPException(400, f"status must be one of {', '.join(RETRYABLE)}.")
        kind = request.query_params.get("kind") or None
        retried = await self._state.jobs.retry_all(status, kind)
        self._state.live.notify(JOBS)
        return json_response({"retried": retried})


def _job_id(request: Request) -> UUID:
    job_id: UUID = request.path_params["job_id"]
    return job_id
