"""Control of the processes: start, stop, restart and scale by the supervisor, and the log level.

Owns the translation of failures into what the page shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.control import ask_async

from .http_client import HttpClient, RequestFailed

ACTIONS = ("start", "stop", "restart")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_TIMEOUT = 100.0  # seconds for the supervisor to finish a change
_OK = 200


class ChangeRefused(Exception):
    """The supervisor or the process refused a change, or did not respond."""


class ProcessControl:
    """The processes of the stack whose control socket is in the directory `run`."""

    def __init__(self, run: Path, http: HttpClient) -> None:
        self._run = run
        self._http = http

    async def change(self, process: str, action: str) -> None:
        """Start, stop or restart a process. Returns once that is done; raises ChangeRefused."""
        await self._ask(command="change", process=process, action=action)

    async def scale(self, service: str, count: int) -> None:
        """Run `count` processes of a service. Returns once they run; raises ChangeRefused."""
        await self._ask(command="scale", service=service, count=count)

    async def set_log_level(self, url: str, level: str | None) -> dict[str, Any]:
        """Override the log level of the process with the management port `url`, or restore it.

        Returns the level in force and until when; raises ChangeRefused.
        """
        body = json.dumps({"level": level}).encode() if level else None
        headers = [("Content-Type", "application/json")] if body else []
        method = "PUT" if level else "DELETE"
        try:
            response = await self._http.send(method, url, "/log-level", headers, body)
            state: dict[str, Any] = json.loads(response.body)
        except (RequestFailed, ValueError) as error:
            raise ChangeRefused(str(error)) from error
        if response.status != _OK:
            raise ChangeRefused(str(state.get("detail", f"HTTP {response.status}")))
        return state

    async def _ask(self, **request: Any) -> None:
        try:
            await ask_async(self._run, _TIMEOUT, **request)
        except StackError as error:
            raise ChangeRefused(f"{error}.") from error
