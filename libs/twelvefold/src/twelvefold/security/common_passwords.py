"""Passwords that everybody guesses first (OWASP ASVS 5.0, 6.2.4 and 6.2.12), offline.

Owns the list and its loading: the 30,000 most frequent passwords of leaked sets as `zxcvbn` ships
them (MIT), of which some 11,600 are long enough to be chosen here. Not what a service says about
one. Nothing leaves the process, and only 1.2 MB of the list stay in memory.
"""

from __future__ import annotations

import asyncio
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec

from twelvefold.contracts.text import MIN_PASSWORD_LENGTH


class CommonPasswords:
    """The list, read in a thread when it is first asked for or warmed up."""

    def __init__(self) -> None:
        self._loading: asyncio.Task[frozenset[str]] | None = None

    async def contains(self, password: str) -> bool:
        """Whether it is one of the list, in whatever case. Raises RuntimeError without the list."""
        return password.casefold() in await self._list()

    async def warm_up(self) -> None:
        """Reads the list now: the first to choose a password would wait about 0.1 s for it."""
        await self._list()

    async def _list(self) -> frozenset[str]:
        if self._loading is None or _failed(self._loading):
            self._loading = asyncio.create_task(asyncio.to_thread(read_list))
        # Shielded: a caller that goes away must not take the list from the others.
        return await asyncio.shield(self._loading)


def read_list() -> frozenset[str]:
    """Reads the list's module alone and lets go of it: the package would keep ten times as much."""
    package = find_spec("zxcvbn")
    locations = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("frequency_lists", locations) if locations else None
    if spec is None or spec.loader is None:
        raise RuntimeError("the list of common passwords is not installed: zxcvbn is missing")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    passwords: list[str] = module.FREQUENCY_LISTS["passwords"]
    return frozenset(word.casefold() for word in passwords if len(word) >= MIN_PASSWORD_LENGTH)


def _failed(task: asyncio.Task[frozenset[str]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
