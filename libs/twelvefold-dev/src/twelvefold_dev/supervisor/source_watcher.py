"""Watch of the sources: which services a changed file belongs to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

# Milliseconds. Several writes of an editor or of git count as one change.
_DEBOUNCE, _STEP = 400, 60


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A change of the sources. `example` is the path of one changed file, relative to the root."""

    services: frozenset[str]
    migrations: bool
    example: str


class Sources:
    """The source directories of a checkout from which its services run."""

    def __init__(self, root: Path, services: Iterable[str]) -> None:
        homes = {name: f"services/{name}/src" for name in services}
        affected = {"libs/twelvefold/src": frozenset(homes)} | {
            home: frozenset({name}) for name, home in homes.items()
        }
        # The watcher reports real paths, also where the checkout contains symbolic links.
        self._homes = [
            (label, (root / label).resolve(), names)
            for label, names in affected.items()
            if (root / label).is_dir()
        ]

    async def changes(self) -> AsyncIterator[SourceChange]:
        """Yield each change that affects a service."""
        watched = [home for _, home, _ in self._homes]
        async for files in awatch(*watched, debounce=_DEBOUNCE, step=_STEP):
            change = self.find_affected(Path(path) for _, path in files)
            if change is not None:
                yield change

    def find_affected(self, paths: Iterable[Path]) -> SourceChange | None:
        """Return which services these paths belong to, or None where they belong to none."""
        files = [
            (f"{label}/{path.relative_to(home)}", names)
            for path in paths
            for label, home, names in self._homes
            if path.is_relative_to(home)
        ]
        if not files:
            return None
        return SourceChange(
            frozenset[str]().union(*(names for _, names in files)),
            any("/migrations/" in file for file, _ in files),
            files[0][0],
        )
