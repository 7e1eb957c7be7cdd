"""Search in the log files of the processes: the lines of one trace, or the newest that match.

Stores no index, since the files are bounded and a search takes a few milliseconds. All methods
block and must run in a thread.
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
_BLOCK_BYTES = 131_072  # read at a time, from the end of a file
_MAX_WORDS = 16
_MAX_LINE_BYTES = 16_384  # of a line without JSON
_LEVELS = ("debug", "info", "warning", "error", "critical")
_SEPARATE_FIELDS = frozenset({"time", "level", "event", "service", "logger"})
# PostgreSQL writes `2026-11-25 17:46:29.005 UTC`, the supervisor `2026-11-25T17:46:29Z`.
_TIME = re.compile(r"\W*(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:[.,]\d+)?)(?:Z| UTC)?\s*")
_TRACE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class LogQuery:
    """A search. `source` is a process (api.1), a service (api) or empty for all services."""

    text: str = ""
    source: str = ""
    level: str = ""
    limit: int = 200

    def matches_words(self, raw: bytes) -> bool:
        """Return whether a line contains all words. Called before parsing, to skip most lines."""
        lowered = raw.lower()
        return all(word in lowered for word in self.words)

    def matches_level(self, level: str | None) -> bool:
        """Return whether `level` is at least the level of the query."""
        return self.level not in _LEVELS or _rank(level) >= _rank(self.level)

    @cached_property
    def words(self) -> list[bytes]:
        """The words in lower case, at most 16."""
        return self.text.lower().encode().split()[:_MAX_WORDS]


class LogLines:
    """The log files of one checkout. Lines of processes in `services` are shown by default."""

    def __init__(self, directory: Path, services: frozenset[str]) -> None:
        self._directory = directory
        self._services = services

    def sources(self) -> list[str]:
        """Return the processes with a log file, those of the services first."""
        names = [path.stem for path in self._directory.glob("*.log")]
        return sorted(names, key=lambda name: (_service(name) not in self._services, name))

    def state(self) -> tuple[tuple[str, int], ...]:
        """Return names and sizes of the files, which differ after each write."""
        sizes = []
        for path in self._directory.glob("*.log"):
            with suppress(OSError):
                sizes.append((path.name, path.stat().st_size))
        return tuple(sorted(sizes))

    def newest(self, query: LogQuery) -> list[dict[str, Any]]:
        """Return the newest matching lines, at most MAX_LINES, in the order of time."""
        wanted = [name for name in self.sources() if self._is_wanted(name, query.source)]
        streams = [self._find_matching(name, query) for name in wanted]
        merged = heapq.merge(*streams, key=lambda line: str(line["time"]), reverse=True)
        limit = min(query.limit, MAX_LINES)
        return [line for line, _ in zip(merged, range(limit), strict=False)][::-1]

    def of_trace(self, trace_id: str) -> list[dict[str, Any]]:
        """Return the lines with this trace id, at most MAX_LINES, in the order of time."""
        if not _TRACE_ID.fullmatch(trace_id):
            return []
        lines: list[dict[str, Any]] = []
        for name in self.sources():
            if _service(name) not in self._services:
                continue
            for path in (self._directory / f"{name}.log.1", self._directory / f"{name}.log"):
                lines += _find_containing(path, name, trace_id.encode(), MAX_LINES - len(lines))
        return sorted(lines, key=lambda line: str(line["time"]))

    def _is_wanted(self, name: str, source: str) -> bool:
        if not source:
            return _service(name) in self._services
        return source in (name, _service(name))

    def _find_matching(self, name: str, query: LogQuery) -> Iterator[dict[str, Any]]:
        """Yield matching lines, the newest first.

        A line without a time has the time of the line before it.
        """
        for path in (self._directory / f"{name}.log", self._directory / f"{name}.log.1"):
            timeless: list[dict[str, Any]] = []
            for offset, raw in _read_backwards(path):
                matches = query.matches_words(raw)
                if not matches and not timeless:
                    continue
                line = _parse(raw, name, offset)
                matches = matches and query.matches_level(line["level"])
                if line["time"] is None:
                    timeless += [line] if matches else []
                    if len(timeless) < MAX_LINES:
                        continue
                yield from ({**each, "time": line["time"] or ""} for each in timeless)
                timeless.clear()
                if matches and line["time"] is not None:
                    yield line
            yield from ({**each, "time": ""} for each in timeless)


def _service(name: str) -> str:
    return name.partition(".")[0]


def _rank(level: str | None) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 1


def _read_backwards(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield offset and content of each line that is not empty, the last line first."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        at = file.seek(0, 2)
        rest = b""
        while at > 0:
            size = min(_BLOCK_BYTES, at)
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


def _find_containing(path: Path, name: str, needle: bytes, limit: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            at = content.find(needle)
            while at >= 0 and len(lines) < limit:
                start, end = content.rfind(b"\n", 0, at) + 1, content.find(b"\n", at)
                end = end if end >= 0 else len(content)
                lines.append(_parse(content[start:end], name, start))
                at = content.find(needle, end)
    except (OSError, ValueError):  # the file was rotated or is empty
        return lines
    return lines


def _parse(raw: bytes, name: str, offset: int) -> dict[str, Any]:
    """Return a line as the page reads it, redacted, since servers write to these files too."""
    line_id = f"{name}:{offset}"
    fields = _parse_json(raw)
    if fields is None:
        text = redact_text(raw[:_MAX_LINE_BYTES]).decode(errors="replace").rstrip()
        stamp = _TIME.match(text)
        return {
            "id": line_id,
            "source": name,
            "time": f"{stamp[1]}T{stamp[2].replace(',', '.')}Z" if stamp else None,
            "level": None,
            "event": text[stamp.end() :] if stamp else text,
            "fields": {},
        }
    fields = redact(fields)
    return {
        "id": line_id,
        "source": name,
        "time": fields.get("time"),
        "level": fields.get("level"),
        "event": str(fields["event"]),
        "trace_id": fields.get("trace_id"),
        "span_id": fields.get("span_id"),
        "fields": {key: value for key, value in fields.items() if key not in _SEPARATE_FIELDS},
    }


def _parse_json(raw: bytes) -> dict[str, Any] | None:
    if not raw.startswith(b"{"):
        return None
    try:
        fields = json.loads(raw)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None
