"""The list of common passwords (OWASP ASVS 5.0, 6.2.4 and 6.2.12), checked offline.

Owns the list and its loading: the 30,000 most frequent passwords of leaked sets from `zxcvbn`
(MIT), of which some 11,600 are long enough to be chosen here. Passwords never leave the process,
and the list takes 1.2 MB of memory.
"""

from __future__ import annotations

import asyncio
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec

from twelvefold.contracts.text import MIN_PASSWORD_LENGTH


class CommonPasswords:
    """The list, read in a thread at its first use or by `warm_up`."""

    def __init__(self) -> None:
        self._loading: asyncio.Task[frozenset[str]] | None = None

    async def contains(self, password: str) -> bool:
        """Return whether the list has `password` in any letter case.

        Raises RuntimeError where the list is not installed.
        """
        return password.casefold() in await self._list()

    async def warm_up(self) -> None:
        """Read the list now, so that the first new password does not wait about 0.1 s for it."""
        await self._list()

    async def _list(self) -> frozenset[str]:
        if self._loading is None or _has_failed(self._loading):
            self._loading = asyncio.create_task(asyncio.to_thread(read_list))
        # Shielded, since the cancellation of one caller must not cancel the others.
        return await asyncio.shield(self._loading)


def read_list() -> frozenset[str]:
    """Read the list by loading its module alone: the whole package would keep ten times as much."""
    package = find_spec("zxcvbn")
    locations = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("frequency_lists", locations) if locations else None
    if spec is None or spec.loader is None:
        raise RuntimeError("zxcvbn, which has the list of common passwords, is not installed")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    passwords: list[str] = module.FREQUENCY_LISTS["passwords"]
    return frozenset(word.casefold() for word in passwords if len(word) >= MIN_PASSWORD_LENGTH)


def _has_failed(task: asyncio.Task[frozenset[str]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
