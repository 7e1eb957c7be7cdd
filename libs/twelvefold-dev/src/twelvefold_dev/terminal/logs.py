"""Output of the processes: stored in bounded files and printed in colour.

Owns the pipe of each process, its file under `.twelvefold/logs/`, and the rendering of JSON lines
for a terminal. The files contain the lines unchanged.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from twelvefold.contracts.terminal import escape_unprintable

MAX_FILE_BYTES = 5_000_000
_MAX_LINE_BYTES = 65_536
_MAX_TAIL_LINES = 40
_RESET = "\x1b[0m"
_NAME_COLOURS = (36, 35, 34, 32, 96, 95, 94, 92)
_LEVEL_COLOURS = {"debug": 2, "info": 32, "warning": 33, "error": 31, "critical": 31}
# Fields that the line shows in another form, or that do not help a reader.
_HIDDEN = frozenset({"time", "level", "event", "service", "logger", "span_id", "trace_id"})

# The line of a traceback that names a call's place.
_FRAME = re.compile(r'\s*File "(.+)", line \d+')

Show = Callable[[str, str], None]  # name of the process, line


class LogFile:
    """A log file with rotation. Beyond `max_bytes` it replaces NAME.log.1."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)

    def write(self, line: bytes) -> None:
        """Append one line. Raises OSError where the disk is full."""
        if self._file.tell() > self._max_bytes:
            self._file.close()
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self._file = self.path.open("ab", buffering=0)
        self._file.write(line + b"\n")

    def close(self) -> None:
        self._file.close()


class LogPipe(asyncio.Protocol):
    """The pipe that receives the output of one process, across all of its restarts."""

    def __init__(self, name: str, file: LogFile, show: Show) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=_MAX_TAIL_LINES)
        self.count = 0  # lines so far
        self._file = file
        self._show = show
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None
        # The supervisor also keeps `writing` open, so that the pipe survives the process.
        self._reading, self.writing = os.pipe()

    async def open(self) -> None:
        """Start reading, in the running event loop."""
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: self, os.fdopen(self._reading, "rb", buffering=0)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self.write(line)

    def write(self, line: bytes) -> None:
        """Store and print one line, from the process or about it."""
        text = line.decode(errors="replace").rstrip("\r")
        self.tail.append(text)
        self.count += 1
        with suppress(OSError):  # a full disk must not end the stack
            self._file.write(line)
        self._show(self.name, text)

    def plain_lines_since(self, count: int) -> list[str]:
        """Return the lines after the first `count` that are no JSON, such as a traceback.

        Only the last lines of all are kept.
        """
        fresh = list(self.tail)[-(self.count - count) :] if self.count > count else []
        return [line for line in fresh if not line.startswith("{")]

    def close(self) -> None:
        os.close(self.writing)
        if self._transport is not None:
            self._transport.close()
        else:
            os.close(self._reading)
        self._file.close()


class Renderer:
    """Formats the output lines of processes for a terminal."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    @classmethod
    def of(cls, stream: TextIO) -> Renderer:
        """Create a renderer that uses colours if `stream` supports them."""
        # rich evaluates NO_COLOR, FORCE_COLOR and the type of the terminal.
        return cls(colours=Console(file=stream).color_system is not None)

    def line(self, name: str, text: str) -> str:
        """Return the line of process `name`, without unprintable characters."""
        prefix = self._paint(f"{name:<10} │", str(_choose_colour(name)))
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
            f"{self._paint(escape_unprintable(key), '2')}={_format_value(value)}"
            for key, value in fields.items()
            if key not in _HIDDEN and key != "exception"
        ]
        mark = self._paint(f"{level:<7}", str(_LEVEL_COLOURS.get(level, 0)))
        event = escape_unprintable(str(fields["event"]))
        line = " ".join([self._paint(time, "2"), mark, event, *shown])
        exception = fields.get("exception")
        if not exception:
            return line
        text = escape_unprintable(str(exception), keep_lines=True)
        return f"{line}\n{self._traceback(text)}"

    def _traceback(self, text: str) -> str:
        """Return a traceback below its gist: the error and the calls in the checkout's own code."""
        lines = text.splitlines()
        frames = [(line, frame[1]) for line in lines if (frame := _FRAME.match(line))]
        own = [line.strip() for line, path in frames if _is_own(path)]
        gist = [self._paint(lines[-1], "1;31"), *(f"  {line}" for line in reversed(own))]
        shown, dim = [], False
        for line in lines:
            if frame := _FRAME.match(line):
                dim = not _is_own(frame[1])
            elif not line.startswith("    "):
                dim = False
            shown.append(self._paint(line, "2") if dim else line)
        return "\n".join([*gist, *shown] if own else shown)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}{_RESET}" if self._colours else text


def _choose_colour(name: str) -> int:
    # The same colour for every process of a service and in every run.
    return _NAME_COLOURS[zlib.crc32(name.partition(".")[0].encode()) % len(_NAME_COLOURS)]


def _is_own(path: str) -> bool:
    """Return whether a file belongs to the checkout and not to a library."""
    return "site-packages" not in path and not path.startswith((sys.base_prefix, "<"))


def _format_value(value: Any) -> str:
    if isinstance(value, str) and value.isprintable() and " " not in value:
        return value
    return json.dumps(value)  # escapes all characters outside ASCII


class Terminal:
    """Prints lines to stdout and ignores errors once its reader has gone."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._renderer = Renderer.of(self._stream)

    def show(self, name: str, text: str) -> None:
        """Print one line of process `name`."""
        with suppress(OSError, ValueError):
            self._stream.write(self._renderer.line(name, text) + "\n")
            self._stream.flush()
