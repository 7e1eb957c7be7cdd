"""The endpoints that change processes: start, stop, restart, scale, log level, pause of a queue."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold_dev.console.actions.process_control import ACTIONS, LEVELS
from twelvefold_dev.console.state import ConsoleState
from twelvefold_dev.supervisor.control import MAX_PROCESSES

from .responses import json_response, number, post, require


class ProcessEndpoints:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        return [
            post("processes/{process}/log-level", self.log_level),
            post("processes/{process}/{action}", self.change),
            post("services/{service}/scale", self.scale),
        ]

    async def change(self, request: Request) -> Response:
        """Start, stop or restart one process; responds once that is done."""
        action = request.path_params["action"]
        if action not in ACTIONS:
            raise HTTPException(404, f"The actions on a process are {', '.join(ACTIONS)}.")
        await self._state.control.change(request.path_params["process"], action)
        await self._state.poll()
        return Response(status_code=204)

    async def scale(self, request: Request) -> Response:
        """Run `count` processes of a service; responds once they run."""
        count = number(request, "count", maximum=MAX_PROCESSES, minimum=0)
        if count is None:
            raise HTTPException(400, f"Name the count: an integer from 0 to {MAX_PROCESSES}.")
        await self._state.control.scale(request.path_params["service"], count)
        await self._state.poll()
        return Response(status_code=204)

    async def log_level(self, request: Request) -> Response:
        """Override the log level of a service's process, or restore it without `level`."""
        level = request.query_params.get("level") or None
        if level not in (None, *LEVELS):
            raise HTTPException(400, f"level must be one of {', '.join(LEVELS)}.")
        urls = dict(self._state.processes.services())
        url = require(urls.get(request.path_params["process"]), "running process of a service")
        return json_response(await self._state.control.set_log_level(url, level))
