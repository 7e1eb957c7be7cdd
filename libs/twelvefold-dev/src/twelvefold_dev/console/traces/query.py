"""The search query of the page, translated into SQL conditions on the store.

In `status:5xx service:users >=100ms is:failed -method:get "two words"` all terms must match; `-`
excludes. A key with a dot, such as `user.id:42`, is an attribute of a span. Any other text is
searched in path, route, ids and the names of the spans.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

MAX_LIMIT = 200
REQUESTS_AND_JOBS = "requests and jobs"  # a kind that excludes other work
_MAX_TERMS = 16
_MAX_INTEGER = 2**63  # of SQLite
# A term: a minus, a key with its colon, and a value that may be quoted. An unclosed quote is text.
_TERM = re.compile(r'(-?)((?:[A-Za-z_][\w.-]{0,60}:)?)(?:"([^"]*)"|(\S+))')
_DURATION = re.compile(r"([<>]=?)(\d{1,9}(?:\.\d{1,6})?)(us|µs|ms|s)?", re.IGNORECASE)
_UNITS = {"us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_STATUS = re.compile(r"([1-5])xx|([1-5]\d\d)", re.IGNORECASE)
_STATES = {"failed": ("failed",), "trouble": ("failed", "trouble"), "ok": ("ok",)}
_UNMATCHED = "unmatched"  # requests that no route matched
_POSITION = re.compile(r"(\d{1,19})-(\d{1,15})", re.ASCII)
# What the page offers while a query is typed.
SUGGESTIONS = (
    *(f"is:{state}" for state in (*_STATES, _UNMATCHED)),
    *("status:5xx", "status:4xx", "status:2xx", "method:get", "method:post", "route:", "service:"),
    *(">100ms", ">=1s", "user.id:"),
)
Order = Literal["started", "duration"]
Condition = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Position:
    """The place of a trace in a list: the value of the list's order, then the trace's number."""

    value: int  # ns since the epoch, or ns of duration
    seq: int

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that `str` wrote, or None for any other text."""
        match = _POSITION.fullmatch(text)
        if match is None or int(match[1]) >= _MAX_INTEGER:
            return None
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.value}-{self.seq}"


@dataclass(frozen=True, slots=True)
class Query:
    """A search for traces of one run.

    `kind` is request, job, other, REQUESTS_AND_JOBS, or empty for all. A list continues `after` a
    position, or begins with the one `since`, whatever came in above it in the meantime.
    """

    text: str = ""
    kind: str = "request"
    run: int | None = None
    after: Position | None = None
    since: Position | None = None
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
        for position, compare in ((self.after, "<"), (self.since, "<=")):
            if position is not None:
                where.append(f"({self.order}, seq) {compare} (?, ?)")
                values += [position.value, position.seq]
        for term in _terms(self.text):
            condition, bound = term.condition() or _search_text(term.text)
            where.append(f"NOT coalesce(({condition}), 0)" if term.excluded else condition)
            values += bound
        return where, values

    @property
    def unknown(self) -> list[str]:
        """The terms that look like conditions and are none. They are searched as text."""
        return [
            term.text
            for term in _terms(self.text)
            if term.condition() is None and (term.key in _BY_KEY or term.text[:1] in ("<", ">"))
        ]


@dataclass(frozen=True, slots=True)
class _Term:
    excluded: bool
    key: str  # in lower case; empty without one
    value: str
    text: str  # without the minus and the quotes

    def condition(self) -> Condition | None:
        """Return the condition of a term with a special meaning, otherwise None."""
        if not self.key:
            return _compare_duration(self.text)
        value = self.value.lower()
        if "." in self.key:
            return _ATTRIBUTE, [f'$.attributes."{self.key}"', f"{_escape(value)}%"]
        find = _BY_KEY.get(self.key)
        return find(value) if find and value else None


_ATTRIBUTE = (
    "EXISTS (SELECT 1 FROM spans WHERE trace = traces.seq "
    "AND lower(json_extract(data, ?)) LIKE ? ESCAPE '\\')"
)


def _compare_duration(text: str) -> Condition | None:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    nanoseconds = _UNITS[(match[3] or "ms").lower()]
    return f"duration {match[1]} ?", [int(float(match[2]) * nanoseconds)]


def _find_status(value: str) -> Condition | None:
    match = _STATUS.fullmatch(value)
    if match is None:
        return None
    low = int(match[1]) * 100 if match[1] else int(match[2])
    return "status BETWEEN ? AND ?", [low, low + 99 if match[1] else low]


def _find_state(value: str) -> Condition | None:
    if value == _UNMATCHED:
        return "kind = 'request' AND NOT matched", []
    states = _STATES.get(value, ())
    return (f"state IN ({', '.join('?' * len(states))})", list(states)) if states else None


_BY_KEY: dict[str, Callable[[str], Condition | None]] = {
    "status": _find_status,
    "service": lambda value: (
        "lower(services) LIKE ? ESCAPE '\\'",
        [f'%"{_escape(value)}"%'],
    ),
    "method": lambda value: ("lower(method) = ?", [value]),
    "route": lambda value: ("lower(route) LIKE ? ESCAPE '\\'", [f"%{_escape(value)}%"]),
    "is": _find_state,
}


def _terms(text: str) -> Iterator[_Term]:
    for count, match in enumerate(_TERM.finditer(text)):
        if count == _MAX_TERMS:
            return
        minus, key, quoted, plain = match.groups()
        value = plain if quoted is None else quoted
        yield _Term(bool(minus), key[:-1].lower(), value, key + value)


def _search_text(text: str) -> Condition:
    like = f"%{_escape(text)}%"
    columns = ("route", "words", "trace_id", "method")
    condition = " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns)
    return f"({condition})", [like] * len(columns)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
