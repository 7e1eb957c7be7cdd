"""Watch of the sources: which services a changed file belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import awatch

if TYPE_CHECKING:
    from twelvefold.service.definition import Service

# Milliseconds. Several writes of an editor or of git count as one change.
_DEBOUNCE, _STEP = 400, 60


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A change of the sources. `example` is the path of one changed file, relative to the root."""

    services: frozenset[str]
    migrations: bool
    example: str
    settings: bool = False  # whether a module of settings is among the files

    def including(self, earlier: SourceChange) -> SourceChange:
        """Return this change together with an earlier one that was not applied."""
        return replace(
            self,
            services=self.services | earlier.services,
            migrations=self.migrations or earlier.migrations,
            settings=self.settings or earlier.settings,
        )


class Sources:
    """The source directories of a checkout from which its services run."""

    def __init__(self, root: Path, homes: Mapping[str, Path], shared: Iterable[Path] = ()) -> None:
        """`homes` has the package of each service; all of them use the folders in `shared`.

        A package outside of `root` is installed and not watched.
        """
        self._root = root
        self._homes: dict[Path, frozenset[str]] = {}
        self._labels: dict[Path, str] = {}  # the home as seen from the root
        for home, names in [
            *((home, frozenset({name})) for name, home in homes.items()),
            *((folder, frozenset(homes)) for folder in shared),
        ]:
            label = _relative(home, root)
            if label is None or not home.is_dir():
                continue
            # The watcher reports real paths, also where the checkout contains symbolic links.
            resolved = home.resolve()
            self._homes[resolved] = self._homes.get(resolved, frozenset()) | names
            self._labels[resolved] = label

    @property
    def projects(self) -> set[Path]:
        """The folders with a pyproject.toml that the sources belong to."""
        found = set()
        for home in self._homes:
            for folder in home.parents:
                if folder == self._root.resolve() or (folder / "pyproject.toml").is_file():
                    found.add(folder)
                    break
        return found

    async def changes(self) -> AsyncIterator[SourceChange]:
        """Yield each change that affects a service."""
        if not self._homes:
            await asyncio.Event().wait()  # every service is an installed package
        async for files in awatch(*self._homes, debounce=_DEBOUNCE, step=_STEP):
            change = self.find_affected(Path(path) for _, path in files)
            if change is not None:
                yield change

    def find_affected(self, paths: Iterable[Path]) -> SourceChange | None:
        """Return which services these paths belong to, or None where they belong to none."""
        files = [
            (f"{self._labels[home]}/{path.relative_to(home)}", names)
            for path in paths
            for home, names in self._homes.items()
            if path.is_relative_to(home)
        ]
        if not files:
            return None
        return SourceChange(
            frozenset[str]().union(*(names for _, names in files)),
            any("/migrations/" in file for file, _ in files),
            files[0][0],
            any(file.endswith("/settings.py") or "/settings/" in file for file, _ in files),
        )


def _relative(home: Path, root: Path) -> str | None:
    """Return `home` as seen from `root`, or None where it is outside."""
    for path, base in ((home, root), (home.resolve(), root.resolve())):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return None


def find_homes(services: Mapping[str, Service]) -> dict[str, Path]:
    """Return the folder of the package of each service."""
    homes = {}
    for name, service in services.items():
        spec = find_spec(service.settings.__module__.partition(".")[0])
        if spec is not None and spec.submodule_search_locations:
            homes[name] = Path(spec.submodule_search_locations[0])
    return homes
