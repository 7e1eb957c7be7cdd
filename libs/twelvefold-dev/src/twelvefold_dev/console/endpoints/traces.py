"""The endpoints of traces: lists, one trace, and its export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.state import ConsoleState
from twelvefold_dev.console.traces.otlp_json import to_otlp
from twelvefold_dev.console.traces.query import MAX_LIMIT, Position, Query
from twelvefold_dev.console.traces.trace import analyse
from twelvefold_dev.console.traces.trace_json import to_json

from .responses import get, json_response, number, require


class TraceEndpoints:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        return [
            get("requests", self.requests),
            get("routes", self.by_route),
            get("traces/{trace_id}", self.trace),
            get("traces/{trace_id}/otlp", self.export),
        ]

    async def requests(self, request: Request) -> Response:
        """Return one page of a list, and the runs among which its filter chooses."""
        kind = request.query_params.get("kind", "request")
        order = request.query_params.get("order", "started")
        if kind not in ("request", "job", "other", "") or order not in ("started", "duration"):
            raise HTTPException(
                400, "kind must be request, job, other or empty; order must be started or duration."
            )
        query = Query(
            text=request.query_params.get("q", "")[:500],
            kind=kind,
            run=number(request, "run"),
            after=_position(request, "after"),
            since=_position(request, "since"),
            order=cast("Any", order),
            limit=number(request, "limit", maximum=MAX_LIMIT) or 100,
        )
        store = self._state.store

        def read_traces() -> dict[str, Any]:
            items = store.search(query)
            return {
                "items": items,
                "more": len(items) == query.limit,
                "unknown": query.unknown,
                "run": store.run,
                "runs": store.runs(),
            }

        return json_response(await self._state.run_in_store_thread(read_traces))

    async def by_route(self, _: Request) -> Response:
        items = await self._state.run_in_store_thread(self._state.store.routes)
        return json_response({"items": items})

    async def trace(self, request: Request) -> Response:
        state, trace_id = self._state, request.path_params["trace_id"].lower()
        logs = await state.run_in_file_thread(state.logs.of_trace, trace_id)

        def read_trace() -> Response:
            summary, spans = require(state.store.trace(trace_id), "trace")
            trace = analyse(spans)
            targets = {link.trace_id for span in spans for link in span.links} - {trace_id}
            return json_response(
                {
                    "summary": summary,
                    "trace": to_json(trace),
                    "repetitions": [asdict(one) for one in trace.repetitions],
                    "linked": state.store.find_linked(trace_id, sorted(targets)),
                    "logs": logs,
                    "run": state.store.run,
                    "runs": state.store.runs(),
                }
            )

        return await state.run_in_store_thread(read_trace)

    async def export(self, request: Request) -> Response:
        """Return the trace as a file of OTLP JSON, which other viewers of traces open."""
        state, trace_id = self._state, request.path_params["trace_id"].lower()

        def read_trace() -> Response:
            _, spans = require(state.store.trace(trace_id), "trace")
            response = json_response(to_otlp(spans))
            response.headers["Content-Disposition"] = f"attachment; filename=trace-{trace_id}.json"
            return response

        return await state.run_in_store_thread(read_trace)


def _position(request: Request, name: str) -> Position | None:
    text = request.query_params.get(name, "")
    position = Position.parse(text)
    if text and position is None:
        raise HTTPException(400, f"{name} must be the position of a listed trace.")
    return position
