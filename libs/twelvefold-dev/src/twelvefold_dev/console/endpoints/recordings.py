"""The endpoints of recorded requests: the switch, copying one as curl, sending one again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from twelvefold.observability.redaction import redact, redact_text
from twelvefold_dev.console.actions.recordings import Recording
from twelvefold_dev.console.state import TRACES, ConsoleState

from .responses import delete, get, json_response, post, require

_MAX_SHOWN = 16_384  # characters of a response


class RecordingEndpoints:
    """The endpoints for one state."""

    def __init__(self, state: ConsoleState) -> None:
        self._state = state

    @property
    def routes(self) -> Sequence[Route]:
        return [
            get("recordings", self.status),
            post("recordings", self.start),
            delete("recordings", self.discard),
            post("recordings/stop", self.stop),
            get("recordings/{request_id}", self.show),
            post("recordings/{request_id}/content", self.content),
            post("recordings/{request_id}/send", self.send),
        ]

    async def status(self, _: Request) -> Response:
        """Return whether requests are recorded, until when, and how many there are."""
        recordings = self._state.recordings
        return json_response({"until": recordings.until, "count": len(recordings)})

    async def start(self, request: Request) -> Response:
        await self._state.recordings.start()
        return await self.status(request)

    async def stop(self, request: Request) -> Response:
        self._state.recordings.stop()
        return await self.status(request)

    async def discard(self, request: Request) -> Response:
        """End recording and forget all recordings."""
        self._state.recordings.stop()
        self._state.recordings.discard()
        return await self.status(request)

    async def show(self, request: Request) -> Response:
        """Return whether a request was recorded, and whole, without its headers and body."""
        found = self._state.recordings.find(request.path_params["request_id"])
        whole = found is not None and found.body is not None
        return json_response({"recorded": found is not None, "whole": whole})

    async def content(self, request: Request) -> Response:
        """Return the whole request, which may contain a password, for copying as curl."""
        recording = self._find(request)
        body = recording.body
        return json_response(
            {
                "url": self._state.config.endpoints["public"].get(recording.service),
                "method": recording.method,
                "target": recording.target,
                "headers": recording.headers,
                "authorized": recording.authorized,
                "body": None if body is None else base64.b64encode(body).decode(),
            }
        )

    async def send(self, request: Request) -> Response:
        """Send the request again as the demo account and return the response."""
        response = await self._state.resender.send(self._find(request))
        self._state.live.notify(TRACES)
        kind = response.headers.get("content-type", "")
        result: dict[str, Any] = {
            "status": response.status,
            "milliseconds": response.milliseconds,
            "request_id": response.headers.get("x-request-id"),
            "content_type": kind,
            "bytes": len(response.body),
        }
        if kind.startswith("text/") or "json" in kind:
            result["body"] = _redact_body(response.body)
        return json_response(result)

    def _find(self, request: Request) -> Recording:
        return require(
            self._state.recordings.find(request.path_params["request_id"]), "recorded request"
        )


def _redact_body(body: bytes) -> str:
    """Return the start of a body as text without secrets; JSON is indented."""
    try:
        text = json.dumps(redact(json.loads(body)), indent=2, ensure_ascii=False)
    except ValueError:
        text = redact_text(body).decode(errors="replace")
    return text[:_MAX_SHOWN]
