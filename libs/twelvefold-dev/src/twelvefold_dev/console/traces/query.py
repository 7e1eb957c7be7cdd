"""What somebody types into the search of requests, as conditions on the store.

`status:5xx service:users method:post >100ms is:failed payment` — every word must hold. A word
without a meaning of its own is looked for in path, route, ids and the names of the spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

MAX_LIMIT = 200
_MAX_WORDS = 16
_DURATION = re.compile(r"([<>])(\d+(?:\.\d+)?)(us|µs|ms|s)?", re.IGNORECASE)
_UNITS = {"us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)", re.IGNORECASE)
_STATES = {"failed": ("failed",), "trouble": ("failed", "trouble"), "ok": ("ok",)}
Order = Literal["started", "duration"]


@dataclass(frozen=True, slots=True)
class Query:
    """`kind` is request, job or other; `asked` for all but other, empty for each.

    `before` is a time in microseconds.
    """

    text: str = ""
    kind: str = "request"
    run: int | None = None
    before: int | None = None
    order: Order = "started"
    limit: int = 100

    def conditions(self, current_run: int) -> tuple[list[str], list[Any]]:
        """SQL that holds together, and its values."""
        where: list[str] = ["run = ?"]
        values: list[Any] = [self.run or current_run]
        if self.kind == "asked":
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
    if found := _DURATION.fullmatch(word):
        transaction = _UNITS[(found[3] or "ms").lower()]
        return f"duration {found[1]} ?", [int(float(found[2]) * transaction)]
    key, colon, value = word.partition(":")
    if colon and value:
        key, value = key.lower(), value.lower()
        if key == "status" and (status := _STATUS.fullmatch(value)):
            low = int(status[1]) * 100 if status[1] else int(status[2])
            return "status BETWEEN ? AND ?", [low, low + 99 if status[1] else low]
        if key == "service":
            return "lower(services) LIKE ? ESCAPE '\\'", [f'%"{_literal(value)}"%']
        if key == "method":
            return "lower(method) = ?", [value]
        if key == "route":
            return "lower(route) LIKE ? ESCAPE '\\'", [f"%{_literal(value)}%"]
        if key == "is" and (states := _STATES.get(value)):
            marks = ", ".join("?" * len(states))
            return f"state IN ({marks})", list(states)
    like = f"%{_literal(word)}%"
    columns = ("route", "words", "trace_id", "method")
    condition = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    return f"({condition})", [like] * len(columns)


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
