"""What the page asks: JSON, one endpoint for each view.

Owns reading parameters and putting answers together; everything it tells comes from `state`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from twelvefold_dev.console.sources.mails import FRAME_POLICY
from twelvefold_dev.console.traces.query import MAX_LIMIT, Query
from twelvefold_dev.console.traces.trace import analyse, shown

from .links import console_links, secret_of
from .state import ConsoleState

_LATEST = 2**53  # microseconds; what a browser can count
T = TypeVar("T")


class Api:
    """The endpoints, over one state."""

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
        """What the frame of every view shows."""
        state = self._state
        return answer(
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
                "runs": await state.stored(state.store.runs),
                "places": [asdict(place) for place in console_links(state.config)],
                "mail": state.mails is not None,
            }
        )

    async def overview(self, _: Request) -> Response:
        """The front page: what went wrong, what was slow, what came."""
        state, store = self._state, self._state.store

        def look() -> dict[str, Any]:
            return {
                "failed": store.search(Query("is:failed", kind="asked", limit=6)),
                "troubled": store.troubled(),
                "slowest": store.search(Query("", order="duration", limit=6)),
                "dots": store.dots(),
                "routes": store.routes(12),
            }

        found = await state.stored(look)
        if state.mails is not None:
            found["mails"], found["mail_count"] = await state.run_in_file_thread(
                state.mails.newest, 4
            )
        try:
            found["jobs"] = await state.jobs.counts()
            found["troubled_jobs"] = [
                job
                for status in ("dead", "failed")
                for job in await state.jobs.newest(status=status, kind=None, before=None, limit=4)
            ]
        except JobsUnavailable as error:
            found["jobs_error"] = str(error)
        return answer(found)

    # Traces and logs

    async def requests(self, request: Request) -> Response:
        kind = request.query_params.get("kind", "request")
        order = request.query_params.get("order", "started")
        if kind not in ("request", "job", "other", "") or order not in ("started", "duration"):
            raise HTTPException(
                400, "kind is request, job, other or empty; order started, duration"
            )
        query = Query(
            text=request.query_params.get("q", "")[:500],
            kind=kind,
            run=_number(request, "run"),
            before=_number(request, "before"),
            order=cast("Any", order),
            limit=_number(request, "limit", most=MAX_LIMIT) or 100,
        )
        found = await self._state.stored(self._state.store.search, query)
        return answer({"items": found, "more": len(found) == query.limit})

    async def by_route(self, _: Request) -> Response:
        return answer({"items": await self._state.stored(self._state.store.routes)})

    async def trace(self, request: Request) -> Response:
        state, trace_id = self._state, request.path_params["trace_id"].lower()
        logs = await state.run_in_file_thread(state.logs.of_trace, trace_id)

        def look() -> Response:
            found = _found(state.store.trace(trace_id), "trace, or it is not kept any more")
            summary, spans = found
            trace = analyse(spans)
            targets = {link.trace_id for span in spans for link in span.links} - {trace_id}
            return answer(
                {
                    "summary": summary,
                    "trace": shown(trace),
                    "repetitions": [asdict(one) for one in trace.repetitions],
                    "linked": state.store.linked(trace_id, sorted(targets)),
                    "logs": logs,
                }
            )

        return await state.stored(look)

    async def logs(self, request: Request) -> Response:
        state, given = self._state, request.query_params
        query = LogQuery(
            text=given.get("q", "")[:500],
            source=given.get("source", "")[:100],
            level=given.get("level", ""),
            limit=_number(request, "limit", most=500) or 200,
        )
        lines = await state.run_in_file_thread(state.logs.newest, query)
        return answer({"lines": lines, "sources": state.logs.sources()})

    # Jobs

    async def jobs(self, request: Request) -> Response:
        given, state = request.query_params, self._state
        before = _number(request, "before")
        found = await state.jobs.newest(
            status=given.get("status") or None,
            kind=given.get("kind") or None,
            before=datetime.fromtimestamp(before / 1e6, UTC) if before else None,
            limit=_number(request, "limit", most=200) or 50,
        )
        return answer({"items": found, "counts": await state.jobs.counts()})

    async def job(self, request: Request) -> Response:
        return answer(_found(await self._state.jobs.one(_job_id(request)), "job"))

    async def change_job(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in ("retry", "cancel"):
            raise HTTPException(404, "a job can be retried or cancelled")
        found = _found(await self._state.jobs.change(action, _job_id(request)), "job")
        if not found["changed"]:
            raise HTTPException(409, f"the job is {found['status']}: nothing to {action}")
        self._state.live.changed("jobs")
        return answer(found)

    # Mail

    async def mails(self, request: Request) -> Response:
        state = self._state
        limit = _number(request, "limit", most=500) or 100
        items, total = (
            await state.run_in_file_thread(state.mails.newest, limit) if state.mails else ([], 0)
        )
        return answer({"items": items, "total": total, "caught": state.mails is not None})

    async def mail(self, request: Request) -> Response:
        return answer(await self._of_mail(request, "one"))

    async def mail_frame(self, request: Request) -> Response:
        html = await self._of_mail(request, "html")
        headers = {"Content-Security-Policy": FRAME_POLICY}
        return Response(html, media_type="text/html", headers=headers)

    async def attachment(self, request: Request) -> Response:
        name, content = await self._of_mail(request, "attachment", request.path_params["number"])
        # Never what it says it is: a file to keep, not a document of this origin.
        disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers = {"Content-Disposition": disposition}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def _of_mail(self, request: Request, what: str, *more: Any) -> Any:
        mails, name = self._state.mails, request.path_params["name"]
        ask = getattr(mails, what) if mails else lambda *_: None
        return _found(await self._state.run_in_file_thread(ask, name, *more), "mail")

    # Metrics

    async def metrics(self, _: Request) -> Response:
        metrics = self._state.metrics
        return await self._state.run_in_file_thread(
            lambda: answer({"families": metrics.families()})
        )

    async def series(self, request: Request) -> Response:
        wanted = set(request.query_params.get("families", "").split(",")[:50])
        metrics = self._state.metrics
        return await self._state.run_in_file_thread(lambda: answer(metrics.series(wanted)))

    # Writes of no other kind

    async def token(self, _: Request) -> Response:
        """Whoever comes through here has the token."""
        return Response(status_code=204)

    async def secret(self, request: Request) -> Response:
        found = _found(secret_of(self._state.config, request.path_params["name"]), "such secret")
        return answer({"value": found})


def answer(content: Any) -> Response:
    body = json.dumps(content, default=_plain, separators=(",", ":"), ensure_ascii=False)
    return Response(body.encode("utf-8", "replace"), media_type="application/json")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _found(value: T | None, what: str) -> T:
    if value is None:
        raise HTTPException(404, f"there is no such {what}")
    return value


def _job_id(request: Request) -> UUID:
    found: UUID = request.path_params["job_id"]
    return found


def _number(request: Request, name: str, most: int = _LATEST) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= most):
        raise HTTPException(400, f"{name} is a whole number from 1 to {most}")
    return int(text)
