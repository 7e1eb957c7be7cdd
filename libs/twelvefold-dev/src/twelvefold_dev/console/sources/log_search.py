"""Finds lines in the log files of the processes: those of one trace, or the newest that fit.

Keeps nothing: the files are bounded, and looked through in a few milliseconds. Everything here
blocks, and belongs to a thread.
"""

from __future__ import annotations

import heapq
import json
import mmap
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from twelvefold.observability.redaction import redact, redact_text

MAX_LINES = 500
_BLOCK = 131_072  # bytes read at a time, from the end of a file on
_MAX_WORDS = 16
_LINE = 16_384  # bytes of a line that are shown
_LEVELS = ("debug", "info", "warning", "error", "critical")
_SHOWN_APART = frozenset({"time", "level", "event", "service", "logger"})
# `2026-11-25 17:46:29.005 UTC …` of PostgreSQL, `2026-11-25T17:46:29Z …` of the supervisor.
_TIME = re.compile(r"\W*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:[.,]\d+)?)(?:Z| UTC)?\s*")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class LogQuery:
    """`source` is a process (api.1), a service (api) or empty for every service."""

    text: str = ""
    source: str = ""
    level: str = ""
    limit: int = 200

    def takes(self, raw: bytes) -> bool:
        """By its words, before anything is made of the line: most lines do not fit."""
        lowered = raw.lower()
        return all(word in lowered for word in self.words)

    def takes_level(self, level: str | None) -> bool:
        return self.level not in _LEVELS or _rank(level) >= _rank(self.level)

    @cached_property
    def words(self) -> list[bytes]:
        return self.text.lower().encode().split()[:_MAX_WORDS]


class LogLines:
    """The files of one checkout. `services` are those whose lines are ours to begin with."""

    def __init__(self, directory: Path, services: frozenset[str]) -> None:
        self._directory = directory
        self._services = services

    def sources(self) -> list[str]:
        """Every process with a log, the services' first."""
        names = [path.stem for path in self._directory.glob("*.log")]
        return sorted(names, key=lambda name: (_service(name) not in self._services, name))

    def state(self) -> tuple[tuple[str, int], ...]:
        """Changes when anything was written."""
        found = []
        for path in self._directory.glob("*.log"):
            with suppress(OSError):
                found.append((path.name, path.stat().st_size))
        return tuple(sorted(found))

    def newest(self, query: LogQuery) -> list[dict[str, Any]]:
        """In the order of time, the newest last."""
        wanted = [name for name in self.sources() if self._is_wanted(name, query.source)]
        streams = [self._matching(name, query) for name in wanted]
        merged = heapq.merge(*streams, key=lambda line: str(line["time"]), reverse=True)
        limit = min(query.limit, MAX_LINES)
        return [line for line, _ in zip(merged, range(limit), strict=False)][::-1]

    def of_trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Every line that carries this trace id, in the order of time."""
        if not _TRACE_ID.fullmatch(trace_id):
            return []
        found: list[dict[str, Any]] = []
        for name in self.sources():
            if _service(name) not in self._services:
                continue
            for path in (self._directory / f"{name}.log.1", self._directory / f"{name}.log"):
                found += _containing(path, name, trace_id.encode(), MAX_LINES - len(found))
        return sorted(found, key=lambda line: str(line["time"]))

    def _is_wanted(self, name: str, source: str) -> bool:
        if not source:
            return _service(name) in self._services
        return source in (name, _service(name))

    def _matching(self, name: str, query: LogQuery) -> Iterator[dict[str, Any]]:
        """The newest first. A line without a time of its own has that of the one before it."""
        for path in (self._directory / f"{name}.log", self._directory / f"{name}.log.1"):
            timeless: list[dict[str, Any]] = []
            for place, raw in _backwards(path):
                fits = query.takes(raw)
                if not fits and not timeless:
                    continue
                line = _parsed(raw, name, f"{name}:{place}")
                fits = fits and query.takes_level(line["level"])
                if line["time"] is None:
                    timeless += [line] if fits else []
                    if len(timeless) < MAX_LINES:
                        continue
                yield from ({**held, "time": line["time"] or ""} for held in timeless)
                timeless.clear()
                if fits and line["time"] is not None:
                    yield line
            yield from ({**held, "time": ""} for held in timeless)


def _service(name: str) -> str:
    return name.partition(".")[0]


def _rank(level: str | None) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 1


def _backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and content of each line, from the last one on."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        at = file.seek(0, 2)
        rest = b""
        while at > 0:
            size = min(_BLOCK, at)
            at -= size
            file.seek(at)
            block = file.read(size) + rest
            head, *lines = block.split(b"\n")
            offset = at + len(block)
            for line in reversed(lines):
                offset -= len(line) + 1
                if line:
                    yield offset + 1, line
            rest = head
        if rest:
            yield 0, rest


def _containing(path: Path, name: str, needle: bytes, most: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            at = content.find(needle)
            while at >= 0 and len(found) < most:
                start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
                end = end if end >= 0 else len(content)
                found.append(_parsed(content[start:end], name, f"{name}:{start}"))
                at = content.find(needle, end)
    except (OSError, ValueError):  # gone, or empty
        return found
    return found


def _parsed(raw: bytes, name: str, place: str) -> dict[str, Any]:
    """A line as the page gets it; redacted again, since servers write here, too."""
    fields = _json(raw)
    if fields is None:
        text = redact_text(raw[:_LINE]).decode(errors="replace").rstrip()
        stamp = _TIME.match(text)
        return {
            "id": place,
            "source": name,
            "time": f"{stamp[1]}T{stamp[2].replace(',', '.')}Z" if stamp else None,
            "level": None,
            "event": text[stamp.end() :] if stamp else text,
            "fields": {},
        }
    fields = redact(fields)
    return {
        "id": place,
        "source": name,
        "time": fields.get("time"),
        "level": fields.get("level"),
        "event": str(fields["event"]),
        "trace_id": fields.get("trace_id"),
        "span_id": fields.get("span_id"),
        "fields": {key: value for key, value in fields.items() if key not in _SHOWN_APART},
    }


def _json(raw: bytes) -> dict[str, Any] | None:
    if not raw.startswith(b"{"):
        return None
    try:
        fields = json.loads(raw)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None
