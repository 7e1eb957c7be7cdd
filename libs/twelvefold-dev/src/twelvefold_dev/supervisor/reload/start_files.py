"""Watch of what only a new start of the stack reads: `.env`, packages, the list of services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import Change, awatch

from twelvefold_dev.environment.dotenv import FILE as DOTENV

_DEBOUNCE, _STEP = 400, 60  # milliseconds
_NAMES = frozenset({DOTENV, "pyproject.toml", "uv.lock"})


class StartFiles:
    """The files of that kind in the checkout `root`, whose services are in `homes`."""

    def __init__(self, root: Path, homes: Iterable[Path]) -> None:
        self._root = root.resolve()
        self._folders = {self._root, *(home.resolve() for home in homes)}
        # Where a new folder is a new service.
        self._parents = {folder.parent for folder in self._folders if folder != self._root}

    async def hints(self) -> AsyncIterator[str]:
        """Yield a sentence for each change."""
        watched = [folder for folder in self._folders | self._parents if folder.is_dir()]
        async for changes in awatch(
            *watched, watch_filter=None, recursive=False, debounce=_DEBOUNCE, step=_STEP
        ):
            hint = self.describe((change, Path(path)) for change, path in changes)
            if hint is not None:
                yield hint

    def describe(self, changes: Iterable[tuple[Change, Path]]) -> str | None:
        """Return what to do about these changes, or None where there is nothing to do."""
        names = sorted(
            str(path.relative_to(self._root))
            for change, path in changes
            if self._counts(change, path)
        )
        if not names:
            return None
        return f"{', '.join(names)} changed: stop the stack and start it again to apply it"

    def _counts(self, change: Change, path: Path) -> bool:
        if path.name in _NAMES:
            return path.parent in self._folders or path.parent.parent in self._parents
        is_new = change is Change.added and path.parent in self._parents
        return is_new and (path / "pyproject.toml").is_file()
