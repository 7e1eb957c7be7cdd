"""The JSON API of the page, with one endpoint for each view.

Owns parameters and responses; all data comes from `state`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import quote
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.sources.jobs import JobsUnavailable
from twelvefold_dev.console.sources.log_search import LogQuery
from twelvefold_dev.console.sources.mails import FRAME_POLICY, Mails
from twelvefold_dev.console.traces.query import (
    MAX_LIMIT,
    REQUESTS_AND_JOBS,
    SUGGESTIONS,
    Query,
)
from twelvefold_dev.console.traces.trace import analyse
from twelvefold_dev.console.traces.trace_json import to_json

from .links import console_links, secret_of
from .state import ConsoleState

_MAX_NUMBER = 2**53  # the largest integer that JavaScript represents exactly
T = TypeVar("T")


class Api:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        def get(path: str, endpoint: Any) -> Route:
            return Route(f"/api/{path}", endpoint, methods=["GET"])

        def post(path: str, endpoint: Any) -> Route:
            return Route(f"/api/{path}", endpoint, methods=["POST"])

        return [
            get("stack", self.stack),
            get("overview", self.overview),
            get("requests", self.requests),
            get("routes", self.by_route),
            get("traces/{trace_id}", self.trace),
            get("logs", self.logs),
            get("jobs", self.jobs),
            get("jobs/{job_id:uuid}", self.job),
            get("mails", self.mails),
            get("mails/{name}", self.mail),
            get("mails/{name}/frame", self.mail_frame),
            get("mails/{name}/attachments/{number:int}", self.attachment),
            get("metrics", self.metrics),
            get("metrics/series", self.series),
            post("token", self.token),
            post("jobs/{job_id:uuid}/{action}", self.change_job),
            post("places/{name}/secret", self.secret),
        ]

    # The stack

    async def stack(self, _: Request) -> Response:
        """Return the state that the frame of every view shows."""
        state = self._state
        return json_response(
            {
                "checkout": state.config.checkout.root.name,
                "root": state.config.root,
                "started": int(state.config.started * 1e6),
                "services": state.config.services,
                "processes": state.processes.latest,
                "supervisor_error": state.processes.error,
                "receives": state.config.receives,
                "traces_to": state.config.traces_to,
                "received": asdict(state.receiver.received),
                "run": state.store.run,
                "runs": await state.run_in_store_thread(state.store.runs),
                "places": [asdict(place) for place in console_links(state.config)],
                "mail": state.mails is not None,
                "suggestions": SUGGESTIONS,
            }
        )

    async def overview(self, _: Request) -> Response:
        """Return the content of the front page: failures, slow requests, newest data."""
        state, store = self._state, self._state.store

        def read_traces() -> dict[str, Any]:
            return {
                "failed": store.search(Query("is:failed", kind=REQUESTS_AND_JOBS, limit=6)),
                "totals": store.totals(),
                "slowest": store.search(Query("", order="duration", limit=6)),
                "dots": store.dots(),
                "routes": store.routes(12),
            }

        content = await state.run_in_store_thread(read_traces)
        if state.mails is not None:
            content["mails"], content["mail_count"] = await state.run_in_file_thread(
                state.mails.newest, 4
            )
        try:
            content["jobs"] = await state.jobs.counts()
            content["troubled_jobs"] = [
                job
                for status in ("dead", "failed")
                for job in await state.jobs.newest(status=status, kind=None, before=None, limit=4)
            ]
        except JobsUnavailable as error:
            content["jobs_error"] = str(error)
        return json_response(content)

    # Traces and logs

    async def requests(self, request: Request) -> Response:
        kind = request.query_params.get("kind", "request")
        order = request.query_params.get("order", "started")
        if kind not in ("request", "job", "other", "") or order not in ("started", "duration"):
            raise HTTPException(
                400, "kind must be request, job, other or empty; order must be started or duration."
            )
        query = Query(
            text=request.query_params.get("q", "")[:500],
            kind=kind,
            run=_number(request, "run"),
            before=_number(request, "before"),
            order=cast("Any", order),
            limit=_number(request, "limit", maximum=MAX_LIMIT) or 100,
        )
        items = await self._state.run_in_store_thread(self._state.store.search, query)
        more = len(items) == query.limit
        return json_response({"items": items, "more": more, "unknown": query.unknown})

    async def by_route(self, _: Request) -> Response:
        items = await self._state.run_in_store_thread(self._state.store.routes)
        return json_response({"items": items})

    async def trace(self, request: Request) -> Response:
        state, trace_id = self._state, request.path_params["trace_id"].lower()
        logs = await state.run_in_file_thread(state.logs.of_trace, trace_id)

        def read_trace() -> Response:
            summary, spans = _require(state.store.trace(trace_id), "trace")
            trace = analyse(spans)
            targets = {link.trace_id for span in spans for link in span.links} - {trace_id}
            return json_response(
                {
                    "summary": summary,
                    "trace": to_json(trace),
                    "repetitions": [asdict(one) for one in trace.repetitions],
                    "linked": state.store.find_linked(trace_id, sorted(targets)),
                    "logs": logs,
                }
            )

        return await state.run_in_store_thread(read_trace)

    async def logs(self, request: Request) -> Response:
        state, parameters = self._state, request.query_params
        query = LogQuery(
            text=parameters.get("q", "")[:500],
            source=parameters.get("source", "")[:100],
            level=parameters.get("level", ""),
            limit=_number(request, "limit", maximum=500) or 200,
        )
        lines = await state.run_in_file_thread(state.logs.newest, query)
        return json_response({"lines": lines, "sources": state.logs.sources()})

    # Jobs

    async def jobs(self, request: Request) -> Response:
        parameters, state = request.query_params, self._state
        before = _number(request, "before")
        items = await state.jobs.newest(
            status=parameters.get("status") or None,
            kind=parameters.get("kind") or None,
            before=datetime.fromtimestamp(before / 1e6, UTC) if before else None,
            limit=_number(request, "limit", maximum=200) or 50,
        )
        return json_response({"items": items, "counts": await state.jobs.counts()})

    async def job(self, request: Request) -> Response:
        return json_response(_require(await self._state.jobs.one(_job_id(request)), "job"))

    async def change_job(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in ("retry", "cancel"):
            raise HTTPException(404, "The actions on a job are retry and cancel.")
        change = _require(await self._state.jobs.change(action, _job_id(request)), "job")
        if not change["changed"]:
            raise HTTPException(409, f"The job is {change['status']}: nothing to {action}.")
        self._state.live.notify("jobs")
        return json_response(change)

    # Mail

    async def mails(self, request: Request) -> Response:
        state = self._state
        limit = _number(request, "limit", maximum=500) or 100
        items, total = (
            await state.run_in_file_thread(state.mails.newest, limit) if state.mails else ([], 0)
        )
        return json_response({"items": items, "total": total, "caught": state.mails is not None})

    async def mail(self, request: Request) -> Response:
        return json_response(await self._read_mail(request, Mails.one))

    async def mail_frame(self, request: Request) -> Response:
        html = await self._read_mail(request, Mails.html)
        headers = {"Content-Security-Policy": FRAME_POLICY}
        return Response(html, media_type="text/html", headers=headers)

    async def attachment(self, request: Request) -> Response:
        number = request.path_params["number"]
        name, content = await self._read_mail(request, Mails.attachment, number)
        # Without its own media type, so that no browser opens it as a document of this origin.
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {"Content-Disposition": disposition}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def _read_mail(
        self, request: Request, read: Callable[..., T | None], *arguments: Any
    ) -> T:
        mails, name = self._state.mails, request.path_params["name"]
        if mails is None:
            return _require(None, "email")
        content = await self._state.run_in_file_thread(read, mails, name, *arguments)
        return _require(content, "email")

    # Metrics

    async def metrics(self, _: Request) -> Response:
        metrics = self._state.metrics
        return await self._state.run_in_file_thread(
            lambda: json_response({"families": metrics.families()})
        )

    async def series(self, request: Request) -> Response:
        families = set(request.query_params.get("families", "").split(",")[:50])
        metrics = self._state.metrics
        return await self._state.run_in_file_thread(lambda: json_response(metrics.series(families)))

    # Token and secrets

    async def token(self, _: Request) -> Response:
        """Return 204: access control has already verified the token."""
        return Response(status_code=204)

    async def secret(self, request: Request) -> Response:
        value = _require(secret_of(self._state.config, request.path_params["name"]), "secret")
        return json_response({"value": value})


def json_response(content: Any) -> Response:
    """Encode `content` as JSON; times become ISO 8601 and other unknown types text."""
    body = json.dumps(content, default=_encode, separators=(",", ":"), ensure_ascii=False)
    return Response(body.encode("utf-8", "replace"), media_type="application/json")


def _encode(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _require(value: T | None, kind: str) -> T:
    if value is None:
        raise HTTPException(404, f"There is no such {kind}.")
    return value


def _job_id(request: Request) -> UUID:
    job_id: UUID = request.path_params["job_id"]
    return job_id


def _number(request: Request, name: str, maximum: int = _MAX_NUMBER) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= maximum):
        raise HTTPException(400, f"{name} must be an integer from 1 to {maximum}.")
    return int(text)
