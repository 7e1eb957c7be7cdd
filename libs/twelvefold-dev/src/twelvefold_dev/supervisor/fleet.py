"""The processes of all services of a stack: their number and their replacement.

Owns their order at start, restart and stop; `supervised` handles a single process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from twelvefold.service.definition import order_by_calls
from twelvefold_dev.servers.server import Server, ServerFailed, StackError
from twelvefold_dev.terminal.logs import LogPipe

from .service_process import ServiceProcess
from .supervised import SupervisedProcess
from .wiring import Wiring

_READY_TIMEOUT = 60.0  # seconds for a service to become ready for work
_READY_POLL_INTERVAL = 0.05  # seconds
MAX_PROCESSES = 16  # of one service


class Fleet:
    """The processes of every service. `supervise` wraps one server, on a given log pipe if any."""

    def __init__(
        self,
        wiring: Wiring,
        counts: Mapping[str, int],
        supervise: Callable[[Server, LogPipe | None], SupervisedProcess],
    ) -> None:
        self._wiring = wiring
        self._supervise = supervise
        self._processes = {
            name: [self._create_process(name, number) for number in range(1, count + 1)]
            for name, count in counts.items()
        }

    def __iter__(self) -> Iterator[SupervisedProcess]:
        for processes in self._processes.values():
            yield from processes

    @property
    def first_processes(self) -> dict[str, ServiceProcess]:
        """The first process of each service, whose URL endpoints.json lists."""
        servers = {name: group[0].server for name, group in self._processes.items() if group}
        return {name: one for name, one in servers.items() if isinstance(one, ServiceProcess)}

    @staticmethod
    async def start_process(process: SupervisedProcess) -> None:
        """Start the process and return once it is ready for work. Raises ServerFailed."""
        await process.start()
        server = process.server
        deadline = time.monotonic() + _READY_TIMEOUT
        while isinstance(server, ServiceProcess) and not await server.is_ready_for_work():
            if not server.is_alive:
                raise ServerFailed(process.name, "ended before it was ready")
            if time.monotonic() > deadline:
                raise ServerFailed(process.name, "did not become ready for work in time")
            await asyncio.sleep(_READY_POLL_INTERVAL)

    async def reload(self, services: Iterable[str]) -> None:
        """Restart the processes of these services, those of one service one after the other, so
        that the remaining ones accept requests.
        """
        await asyncio.gather(*(self._restart_in_turn(self._processes[name]) for name in services))

    async def _restart_in_turn(self, processes: list[SupervisedProcess]) -> None:
        for process in processes:
            process.restart()
            if len(processes) > 1:
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait_until_up(), _READY_TIMEOUT)

    async def scale(self, service: str, count: int) -> None:
        """Start or stop processes until `service` has `count` of them (0 to MAX_PROCESSES).

        Raises StackError for an unknown service, for another count, or where a start fails.
        """
        processes = self._find_processes(service)
        if not 0 <= count <= MAX_PROCESSES:
            raise StackError(f"a service has 0 to {MAX_PROCESSES} processes, not {count}")
        added = [
            self._create_process(service, number) for number in range(len(processes) + 1, count + 1)
        ]
        removed = processes[count:]
        del processes[count:]
        for process in added:
            await process.pipe.open()
        processes += added
        await asyncio.gather(*(self.start_process(process) for process in added))
        await _stop(removed)

    async def replace(self, service: str) -> AsyncIterator[str]:
        """Replace the processes of `service` one after the other and yield the name of each.

        Old and new process share their sockets, and the new one accepts requests before the old
        one closes them, so that no request is refused. Raises StackError where a new process does
        not start; the old one stays.
        """
        processes = self._find_processes(service)
        for number, old in enumerate(list(processes), start=1):
            new = self._supervise(self._wiring.process(service, number), old.pipe)
            try:
                await self.start_process(new)
            except BaseException:
                await new.stop()
                _close_sockets(new)
                raise
            processes[processes.index(old)] = new
            await old.stop(replaced=True)
            _close_sockets(old)
            yield new.name

    async def stop(self) -> None:
        """Stop all processes: those of a caller before those of the services that it calls."""
        for name in order_by_calls(self._wiring.services):
            await _stop(self._processes[name])

    def _find_processes(self, service: str) -> list[SupervisedProcess]:
        if service not in self._processes:
            raise StackError(f"no service {service!r}: choose from {', '.join(self._processes)}")
        return self._processes[service]

    def _create_process(self, service: str, number: int) -> SupervisedProcess:
        return self._supervise(self._wiring.process(service, number), None)


async def _stop(processes: list[SupervisedProcess]) -> None:
    await asyncio.gather(*(process.stop() for process in processes))
    for process in processes:
        process.pipe.close()
        _close_sockets(process)


def _close_sockets(process: SupervisedProcess) -> None:
    """Close the sockets of this process only, after its last stop."""
    if isinstance(process.server, ServiceProcess):
        process.server.close()
