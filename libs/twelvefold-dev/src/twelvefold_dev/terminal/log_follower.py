"""Reader of growing log files across their rotation, for `logs -f`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from twelvefold.service.installed import installed_services

_MAX_INITIAL_BYTES = 262_144  # from the end of a file, in which its last lines are searched


def log_names(directory: Path) -> list[str]:
    """Return every process and server with a log file, and each service with a process."""
    names = {path.stem for path in directory.glob("*.log")}
    return sorted(names | {name.partition(".")[0] for name in names})


class LogFollower:
    """The log files of a service or process, or of all services. Merges lines as it reads them."""

    def __init__(self, directory: Path, wanted: str | None, lines: int) -> None:
        """`wanted` is a service, process or server; `lines` limits the first read of each file."""
        self._directory = directory
        self._wanted = wanted
        self._lines = lines
        self._services = set(installed_services())
        self._positions: dict[Path, tuple[int, int]] = {}  # inode, offset in bytes

    @property
    def names(self) -> list[str]:
        """The processes with a log file at this moment."""
        return sorted(
            path.stem for path in self._directory.glob("*.log") if self._is_wanted(path.stem)
        )

    def read_new_lines(self) -> Iterator[tuple[str, str]]:
        """Yield process name and text of each line written since the last call."""
        for name in self.names:
            path = self._directory / f"{name}.log"
            for line in self._read_new_lines(path):
                yield name, line

    def _is_wanted(self, name: str) -> bool:
        service = name.partition(".")[0]
        if self._wanted is None:
            return service in self._services
        return self._wanted in (name, service)

    def _read_new_lines(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            inode = path.stat().st_ino
            known, offset = self._positions.get(path, (None, 0))
            if known is None:
                size = path.stat().st_size
                file.seek(max(0, size - _MAX_INITIAL_BYTES))
                lines = file.read().splitlines(keepends=True)[-self._lines or size :]
            else:
                file.seek(offset if known == inode else 0)
                lines = file.read().splitlines(keepends=True)
            # The next call reads a line without its end again.
            unfinished = len(lines.pop()) if lines and not lines[-1].endswith(b"\n") else 0
            self._positions[path] = inode, file.tell() - unfinished
        return [line.decode(errors="replace").rstrip() for line in lines]
