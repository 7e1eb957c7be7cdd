"""Reads log files from their end on, across their rotation, for `logs -f`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twelvefold.service.installed import installed_services

_BLOCK = 262_144  # bytes from the end of a file in which its last lines are looked for


class LogFollower:
    """The files of one service or process, or of every service. Merged by time of reading."""

    def __init__(self, directory: Path, wanted: str | None, lines: int) -> None:
        self._directory = directory
        self._wanted = wanted
        self._lines = lines
        self._services = set(installed_services())
        self._places: dict[Path, tuple[int, int]] = {}  # inode, offset

    @property
    def names(self) -> list[str]:
        """Processes with a log; a scale-out adds some."""
        return sorted(
            path.stem for path in self._directory.glob("*.log") if self._is_wanted(path.stem)
        )

    def fresh(self) -> Iterator[tuple[str, str]]:
        """Name and line of all that was written since the last call."""
        for name in self.names:
            path = self._directory / f"{name}.log"
            for line in self._lines_of(path):
                yield name, line

    def _is_wanted(self, name: str) -> bool:
        service = name.partition(".")[0]
        if self._wanted is None:
            return service in self._services
        return self._wanted in (name, service)

    def _lines_of(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            inode = path.stat().st_ino
            known, offset = self._places.get(path, (None, 0))
            if known is None:
                size = path.stat().st_size
                file.seek(max(0, size - _BLOCK))
                lines = file.read().splitlines(keepends=True)[-self._lines or size :]
            else:
                file.seek(offset if known == inode else 0)
                lines = file.read().splitlines(keepends=True)
            # A line in the making is read when it is whole.
            unfinished = len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0
            self._places[path] = inode, file.tell() - unfinished
        return [line.decode(errors="replace").rstrip() for line in lines]
