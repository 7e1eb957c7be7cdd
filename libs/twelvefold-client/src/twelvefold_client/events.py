"""The events of a job: reading of server-sent events, and where to resume.

Server-sent events: html.spec.whatwg.org, section 9.2. Owns no connection; the clients reconnect as
`EventReader` says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .generated.models import Job
from .problems import LoginRequired, TwelvefoldError, Unreachable
from .retries import RetryPolicy

MAX_EVENT = 1_048_576  # bytes
READ_TIMEOUT = 40.0  # seconds; the API sends a comment every 15 seconds
MAX_LOSSES = 8  # connections in a row that brought no event
_LINE_END = re.compile(rb"\r\n|\n|\r(?!$)")


class JobGone(TwelvefoldError):
    """The job was deleted while it was watched."""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A change of a job: its `state`, or its `progress` alone."""

    name: str
    job: Job
    id: str


@dataclass
class EventReader:
    """Turns chunks of a stream into events, over as many connections as it takes."""

    policy: RetryPolicy
    last_event_id: str | None = None
    is_ended: bool = False  # whether the job has ended
    _losses: int = 0
    _buffer: bytes = b""
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _id: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the next connection."""
        resumed = {} if self.last_event_id is None else {"Last-Event-ID": self.last_event_id}
        return {"Accept": "text/event-stream", **resumed}

    def feed(self, chunk: bytes) -> Iterator[JobEvent]:
        """Yield the events that are complete with this chunk.

        Raises JobGone, LoginRequired where the session was revoked, ValueError where an event is
        none of the API's.
        """
        *lines, self._buffer = _LINE_END.split(self._buffer + chunk)
        if len(self._buffer) > MAX_EVENT:
            raise ValueError("an event is too large")
        for line in lines:
            if line:
                self._take(line.decode())
                continue
            event = self._dispatch()
            if event is not None:
                self._losses = 0
                yield event

    def pause(self) -> float:
        """Return the seconds until the next connection, and forget a half event.

        Raises Unreachable after MAX_LOSSES connections without an event.
        """
        self._buffer, self._name, self._data, self._id = b"", "", [], None
        self._losses += 1
        if self._losses > MAX_LOSSES:
            raise Unreachable("watch_job: the event stream broke off again and again")
        return self.policy.wait(self._losses, None)

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value

    def _dispatch(self) -> JobEvent | None:
        name, data, identifier = self._name, "\n".join(self._data), self._id
        self._name, self._data, self._id = "", [], None
        if not data:
            return None
        content = json.loads(data)
        if name == "end":
            self._end(str(content.get("reason")))
            return None
        if identifier is not None:
            self.last_event_id = identifier
        return JobEvent(name, Job.from_dict(content), self.last_event_id or "")

    def _end(self, reason: str) -> None:
        if reason == "gone":
            raise JobGone("the job was deleted")
        if reason == "token_revoked":
            raise LoginRequired("the session was revoked")
        # Otherwise the process is draining or the token has expired: resume with another.
        self.is_ended = reason == "finished"
