"""The processes of every service of a stack: how many there are, and which takes whose place.

Owns their order at the start, at a restart and at the end. One process is `supervised`'s business.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from twelvefold_dev.servers.server import Server, ServerFailed, StackError
from twelvefold_dev.terminal.logs import LogPipe

from .service_process import EDGE, ServiceProcess
from .supervised import SupervisedProcess
from .wiring import Wiring

_READY_TIMEOUT = 60.0  # seconds for a service to become ready for work
_READY_POLL = 0.05
MAX_PROCESSES = 16  # of one service


class Fleet:
    """`supervise` makes the keeper of one process, on a log pipe if it is given one."""

    def __init__(
        self,
        wiring: Wiring,
        counts: Mapping[str, int],
        supervise: Callable[[Server, LogPipe | None], SupervisedProcess],
    ) -> None:
        self._wiring = wiring
        self._supervise = supervise
        self._processes = {
            name: [self._process(name, number) for number in range(1, count + 1)]
            for name, count in counts.items()
        }

    def __iter__(self) -> Iterator[SupervisedProcess]:
        for processes in self._processes.values():
            yield from processes

    @property
    def firsts(self) -> dict[str, ServiceProcess]:
        """The first process of each service, by which it is known outside."""
        firsts = {name: found[0].server for name, found in self._processes.items() if found}
        return {name: one for name, one in firsts.items() if isinstance(one, ServiceProcess)}

    @staticmethod
    async def until_ready(process: SupervisedProcess) -> None:
        """Starts it; returns once it is ready for work. Raises ServerFailed."""
        await process.start()
        server = process.server
        deadline = time.monotonic() + _READY_TIMEOUT
        while isinstance(server, ServiceProcess) and not await server.is_ready_for_work():
            if not server.is_alive:
                raise ServerFailed(process.name, "ended before it was ready")
            if time.monotonic() > deadline:
                raise ServerFailed(process.name, "did not become ready for work in time")
            await asyncio.sleep(_READY_POLL)

    async def reload(self, services: Iterable[str]) -> None:
        """Restarts each process where it is; several of one service in turn, so that the others
        go on accepting meanwhile.
        """
        await asyncio.gather(*(self._in_turn(self._processes[name]) for name in services))

    async def _in_turn(self, processes: list[SupervisedProcess]) -> None:
        for process in processes:
            process.restart()
            if len(processes) > 1:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait_until_up(), _READY_TIMEOUT)

    async def scale(self, service: str, count: int) -> None:
        """Starts or ends processes until `service` has `count`, which may be none.

        Raises StackError.
        """
        processes = self._of(service)
        if not 0 <= count <= MAX_PROCESSES:
            raise StackError(f"0 to {MAX_PROCESSES} processes, not {count}")
        more = [self._process(service, number) for number in range(len(processes) + 1, count + 1)]
        fewer = processes[count:]
        del processes[count:]
        for process in more:
            await process.pipe.open()
        processes += more
        await asyncio.gather(*(self.until_ready(process) for process in more))
        await _stop(fewer)

    async def replace(self, service: str) -> AsyncIterator[str]:
        """Puts a new process in the place of each, one after the other; says which is done.

        The new one takes requests before the old one gives up the sockets, which both share: no
        request is refused. Raises StackError where a new one does not come up; the old stays.
        """
        processes = self._of(service)
        for number, old in enumerate(list(processes), start=1):
            new = self._supervise(self._wiring.process(service, number), old.pipe)
            try:
                await self.until_ready(new)
            except BaseException:
                await new.stop()
                _give_up_sockets(new)
                raise
            processes[processes.index(old)] = new
            await old.stop(replaced=True)
            _give_up_sockets(old)
            yield new.name

    async def stop(self) -> None:
        """Ends every process: the edge first, so that nothing new comes in, users last."""
        for name in sorted(self._processes, key=_end_order):
            await _stop(self._processes[name])

    def _of(self, service: str) -> list[SupervisedProcess]:
        if service not in self._processes:
            raise StackError(f"no service {service!r}: {', '.join(self._processes)}")
        return self._processes[service]

    def _process(self, service: str, number: int) -> SupervisedProcess:
        return self._supervise(self._wiring.process(service, number), None)


async def _stop(processes: list[SupervisedProcess]) -> None:
    await asyncio.gather(*(process.stop() for process in processes))
    for process in processes:
        process.pipe.close()
        _give_up_sockets(process)


def _give_up_sockets(process: SupervisedProcess) -> None:
    """What only it held; after its last stop."""
    if isinstance(process.server, ServiceProcess):
        process.server.close()


def _end_order(service: str) -> int:
    """Users last, since others ask it."""
    return {EDGE: 0, "users": 2}.get(service, 1)
