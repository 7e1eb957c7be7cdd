"""The search query of the page, translated into SQL conditions on the store.

In `status:5xx service:users method:post >100ms is:failed payment` all words must match. A word
without a special meaning is searched in path, route, ids and the names of the spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

MAX_LIMIT = 200
REQUESTS_AND_JOBS = "requests and jobs"  # a kind that excludes other work
_MAX_WORDS = 16
_DURATION = re.compile(r"([<>])(\d+(?:\.\d+)?)(us|µs|ms|s)?", re.IGNORECASE)
_UNITS = {"us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)", re.IGNORECASE)
_STATES = {"failed": ("failed",), "trouble": ("failed", "trouble"), "ok": ("ok",)}
Order = Literal["started", "duration"]


@dataclass(frozen=True, slots=True)
class Query:
    """A search for traces of one run.

    `kind` is request, job, other, REQUESTS_AND_JOBS, or empty for all. `before` is a time in
    microseconds since the epoch.
    """

    text: str = ""
    kind: str = "request"
    run: int | None = None
    before: int | None = None
    order: Order = "started"
    limit: int = 100

    def conditions(self, current_run: int) -> tuple[list[str], list[Any]]:
        """Return the SQL conditions, to be joined by AND, and their values."""
        where: list[str] = ["run = ?"]
        values: list[Any] = [self.run or current_run]
        if self.kind == REQUESTS_AND_JOBS:
            where.append("kind <> 'other'")
        elif self.kind:
            where.append("kind = ?")
            values.append(self.kind)
        if self.before is not None:
            where.append("started < ?")
            values.append(self.before * 1_000)
        for word in self.text.split()[:_MAX_WORDS]:
            condition, bound = _condition(word)
            where.append(condition)
            values += bound
        return where, values


def _condition(word: str) -> tuple[str, list[Any]]:
    if match := _DURATION.fullmatch(word):
        nanoseconds = _UNITS[(match[3] or "ms").lower()]
        return f"duration {match[1]} ?", [int(float(match[2]) * nanoseconds)]
    key, colon, value = word.partition(":")
    if colon and value:
        key, value = key.lower(), value.lower()
        if key == "status" and (status := _STATUS.fullmatch(value)):
            low = int(status[1]) * 100 if status[1] else int(status[2])
            return "status BETWEEN ? AND ?", [low, low + 99 if status[1] else low]
        if key == "service":
            return "lower(services) LIKE ? ESCAPE '\\'", [f'%"{_escape(value)}"%']
        if key == "method":
            return "lower(method) = ?", [value]
        if key == "route":
            return "lower(route) LIKE ? ESCAPE '\\'", [f"%{_escape(value)}%"]
        if key == "is" and (states := _STATES.get(value)):
            marks = ", ".join("?" * len(states))
            return f"state IN ({marks})", list(states)
    like = f"%{_escape(word)}%"
    columns = ("route", "words", "trace_id", "method")
    condition = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    return f"({condition})", [like] * len(columns)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
