"""The JSON API of the page, with one endpoint for each view.

Owns parameters and responses; all data comes from `state`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.sources.jobs import JobsUnavailable
from twelvefold_dev.console.sources.log_search import LogQuery
from twelvefold_dev.console.traces.query import REQUESTS_AND_JOBS, SUGGESTIONS, Query

from .endpoints.responses import get, json_response, number, post, require
from .links import console_links, secret_of
from .state import ConsoleState


class Api:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        return [
            get("stack", self.stack),
            get("overview", self.overview),
            get("logs", self.logs),
            get("metrics", self.metrics),
            get("metrics/series", self.series),
            post("token", self.token),
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
                "public": state.config.endpoints["public"],
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

    # Logs

    async def logs(self, request: Request) -> Response:
        state, parameters = self._state, request.query_params
        query = LogQuery(
            text=parameters.get("q", "")[:500],
            source=parameters.get("source", "")[:100],
            level=parameters.get("level", ""),
            limit=number(request, "limit", maximum=500) or 200,
        )
        lines = await state.run_in_file_thread(state.logs.newest, query)
        return json_response({"lines": lines, "sources": state.logs.sources()})

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
        value = require(secret_of(self._state.config, request.path_params["name"]), "secret")
        return json_response({"value": value})
