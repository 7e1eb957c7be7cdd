"""What the processes write: kept in bounded files, and shown readable and in colour.

Owns the pipe from each process, its file under `.twelvefold/logs/`, and the rendering of JSON
lines for people. The files hold the lines as they were written.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from twelvefold.contracts.terminal import escape_unprintable

_FILE_BYTES = 5_000_000  # then it becomes NAME.log.1, replacing the one before
_LINE_BYTES = 65_536
_TAIL_LINES = 40
_RESET = "\x1b[0m"
_NAME_COLOURS = (36, 35, 34, 32, 96, 95, 94, 92)
_LEVEL_COLOURS = {"debug": 2, "info": 32, "warning": 33, "error": 31, "critical": 31}
# Said by the line's own place, or of no use to a reader.
_HIDDEN = frozenset({"time", "level", "event", "service", "logger", "span_id", "trace_id"})

Show = Callable[[str, str], None]  # name of the process, line


class LogFile:
    """Appends lines; keeps at most two files of `_FILE_BYTES`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)

    def write(self, line: bytes) -> None:
        if self._file.tell() > _FILE_BYTES:
            self._file.close()
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self._file = self.path.open("ab", buffering=0)
        self._file.write(line + b"\n")

    def close(self) -> None:
        self._file.close()


class LogPipe(asyncio.Protocol):
    """The pipe that takes one process's output, over all of its restarts."""

    def __init__(self, name: str, file: LogFile, show: Show) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._file = file
        self._show = show
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        self._reading, self.writing = os.pipe()  # the supervisor keeps `writing` open, too

    async def open(self) -> None:
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: self, os.fdopen(self._reading, "rb", buffering=0)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self.write(line)

    def write(self, line: bytes) -> None:
        """Adds a line, from the process or about it."""
        text = line.decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        with suppress(OSError):  # a full disk must not end the stack
            self._file.write(line)
        self._show(self.name, text)

    def close(self) -> None:
        os.close(self.writing)
        if self._transport is not None:
            self._transport.close()
        else:
            os.close(self._reading)
        self._file.close()


class Renderer:
    """Turns a line of a process into one for people."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    @classmethod
    def of(cls, stream: TextIO) -> Renderer:
        # rich knows NO_COLOR, FORCE_COLOR and dumb terminals.
        return cls(colours=Console(file=stream).color_system is not None)

    def line(self, name: str, text: str) -> str:
        prefix = self._paint(f"{name:<10} │", str(_colour_of(name)))
        return f"{prefix} {self._body(text)}"

    def _body(self, text: str) -> str:
        plain = escape_unprintable(text, keep_lines=True)
        if not text.startswith("{"):
            return plain
        try:
            fields = json.loads(text)
        except ValueError:
            return plain
        if not isinstance(fields, dict) or "event" not in fields:
            return plain
        return self._event(fields)

    def _event(self, fields: Mapping[str, Any]) -> str:
        level = escape_unprintable(str(fields.get("level", "")))
        time = escape_unprintable(str(fields.get("time", ""))[11:19])
        shown = [
            f"{self._paint(escape_unprintable(key), '2')}={_plain(value)}"
            for key, value in fields.items()
            if key not in _HIDDEN and key != "exception"
        ]
        mark = self._paint(f"{level:<7}", str(_LEVEL_COLOURS.get(level, 0)))
        event = escape_unprintable(str(fields["event"]))
        line = " ".join([self._paint(time, "2"), mark, event, *shown])
        exception = fields.get("exception")
        return (
            f"{line}\n{escape_unprintable(str(exception), keep_lines=True)}" if exception else line
        )

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self._colours else text


def _colour_of(name: str) -> int:
    # The same for every process of a service and in every run.
    return _NAME_COLOURS[zlib.crc32(name.partition(".")[0].encode()) % len(_NAME_COLOURS)]


def _plain(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    return json.dumps(value)  # escapes whatever is not ASCII


class Terminal:
    """Shows lines on stdout until nobody reads it any more; then stays silent."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._renderer = Renderer.of(self._stream)

    def show(self, name: str, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(self._renderer.line(name, text) + "\n")
            self._stream.flush()
