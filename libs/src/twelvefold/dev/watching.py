"""Which services a change of the sources concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

_DEBOUNCE, _STEP = 400, 60  # milliseconds: an editor's or git's several writes are one change


@dataclass(frozen=True, slots=True)
class SourceChange:
    """What has changed since the last look."""

    services: frozenset[str]
    migrations: bool
    example: Path


class Sources:
    """The sources of a checkout that the running services were started from."""

    def __init__(self, root: Path, services: Iterable[str]) -> None:
        self._libs = root / "libs/src"
        self._services = {
            name: root / "services" / name / "src"
            for name in services
            if (root / "services" / name / "src").is_dir()
        }
        # The supervisor cannot start itself again, and no service imports this package.
        self._own = Path(__file__).parent

    async def changes(self) -> AsyncIterator[SourceChange]:
        watched = [self._libs, *self._services.values()]
        async for found in awatch(*watched, debounce=_DEBOUNCE, step=_STEP):
            change = self.concerned(Path(path) for _, path in found)
            if change is not None:
                yield change

    def concerned(self, paths: Iterable[Path]) -> SourceChange | None:
        """None where no service is concerned."""
        counted = [path for path in paths if not path.is_relative_to(self._own)]
        names: set[str] = set()
        for path in counted:
            if path.is_relative_to(self._libs):
                names.update(self._services)
            else:
                names.update(
                    name for name, home in self._services.items() if path.is_relative_to(home)
                )
        if not names:
            return None
        return SourceChange(
            frozenset(names), any("migrations" in path.parts for path in counted), counted[0]
        )
