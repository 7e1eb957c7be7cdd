"""Which services a change of the sources concerns."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

_DEBOUNCE, _STEP = 400, 60  # milliseconds: an editor's or git's several writes are one change


@dataclass(frozen=True, slots=True)
class SourceChange:
    """What has changed since the last look; `example` is one of the files, from the root."""

    services: frozenset[str]
    migrations: bool
    example: str


class Sources:
    """The sources of a checkout that the running services were started from."""

    def __init__(self, root: Path, services: Iterable[str]) -> None:
        homes = {name: f"services/{name}/src" for name in services}
        concerned = {"libs/twelvefold/src": frozenset(homes)} | {
            home: frozenset({name}) for name, home in homes.items()
        }
        # Changes are told by real paths, also where a checkout is made of links.
        self._homes = [
            (label, (root / label).resolve(), names)
            for label, names in concerned.items()
            if (root / label).is_dir()
        ]

    async def changes(self) -> AsyncIterator[SourceChange]:
        watched = [home for _, home, _ in self._homes]
        async for found in awatch(*watched, debounce=_DEBOUNCE, step=_STEP):
            change = self.concerned(Path(path) for _, path in found)
            if change is not None:
                yield change

    def concerned(self, paths: Iterable[Path]) -> SourceChange | None:
        """None where no service is concerned."""
        found = [
            (f"{label}/{path.relative_to(home)}", names)
            for path in paths
            for label, home, names in self._homes
            if path.is_relative_to(home)
        ]
        if not found:
            return None
        return SourceChange(
            frozenset[str]().union(*(names for _, names in found)),
            any("/migrations/" in place for place, _ in found),
            found[0][0],
        )
