"""The processes of all services of a stack: their number and their replacement.

Owns their order at start, restart and stop, and who answers while a service has no process;
`supervised` handles a single process.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial

from twelvefold.service.definition import order_by_calls
from twelvefold_dev.servers.server import Server, ServerFailed, StackError
from twelvefold_dev.terminal.logs import LogPipe

from .control import MAX_PROCESSES
from .service_process import ServiceProcess
from .stand_in import StandIn
from .supervised import SupervisedProcess
from .wiring import Wiring

_READY_TIMEOUT = 60.0  # seconds for a service to become ready for work
_READY_POLL_INTERVAL = 0.05  # seconds


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
        self._stand_ins = {
            name: StandIn(sockets.shared.values(), partial(self._describe_absence, name))
            for name, sockets in wiring.sockets.items()
        }
        # The ends of replaced processes, which go on where a replacement is cancelled.
        self._ending: set[asyncio.Task[None]] = set()
        self._is_stopping = False
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
        self._update_stand_in(service)
        for process in added:
            await process.pipe.open()
        processes += added
        await asyncio.gather(*(self.start_process(process) for process in added))
        await _stop(removed)

    async def replace(self, service: str, *, at_once: bool = False) -> AsyncIterator[str]:
        """Replace the processes of `service` one after the other and yield the name of each.

        Old and new process share their sockets, and the new one accepts requests before the old
        one closes them, so that no request is refused. With `at_once` the old one takes no more
        requests from then on, and a halted one stays as it is; otherwise it is started. Raises
        StackError where a new process does not start, with its output as a note; the old one stays.
        """
        for number, old in enumerate(list(self._find_processes(service)), start=1):
            if old.is_halted:
                if not at_once:
                    await self.start_process(old)
                    yield old.name
            elif await self._replace_process(service, number, old, at_once=at_once):
                yield old.name

    async def restart_process(self, process: SupervisedProcess) -> None:
        """Replace one process of a service, as `replace` does. Raises StackError as it does."""
        server = process.server
        assert isinstance(server, ServiceProcess)  # noqa: S101 (the fleet has no others)
        number = self._find_processes(server.service).index(process) + 1
        await self._replace_process(server.service, number, process, at_once=False)

    async def _replace_process(
        self, service: str, number: int, old: SupervisedProcess, *, at_once: bool
    ) -> bool:
        """Return whether the new process took the place of the old one."""
        new, known = self._create_process(service, number, old.pipe), old.pipe.count
        try:
            await self.start_process(new)
        except BaseException as error:
            await self._retire(new)
            for line in old.pipe.plain_lines_since(known):
                error.add_note(line)
            raise
        processes = self._find_processes(service)
        if old not in processes or old.is_halted:  # scaled in, or stopped by request meanwhile
            await self._retire(new)
            return False
        processes[processes.index(old)] = new
        await self._retire(old, replaced=not at_once)
        return True

    async def _retire(self, process: SupervisedProcess, *, replaced: bool = False) -> None:
        """End a process without its log pipe. Its end goes on where this call is cancelled."""
        ending = asyncio.create_task(_end(process, replaced=replaced))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)

    async def stop(self) -> None:
        """Stop all processes: those of a caller before those of the services that it calls."""
        self._is_stopping = True
        for stand_in in self._stand_ins.values():
            stand_in.close()
        for name in order_by_calls(self._wiring.services):
            await _stop(self._processes[name])
        await asyncio.gather(*self._ending)

    def _find_processes(self, service: str) -> list[SupervisedProcess]:
        if service not in self._processes:
            raise StackError(f"no service {service!r}: choose from {', '.join(self._processes)}")
        return self._processes[service]

    def _create_process(
        self, service: str, number: int, pipe: LogPipe | None = None
    ) -> SupervisedProcess:
        process = self._supervise(self._wiring.process(service, number), pipe)
        process.on_state = lambda: self._update_stand_in(service)
        return process

    def _update_stand_in(self, service: str) -> None:
        if self._is_stopping:
            return
        absent = (process.is_failing or process.is_halted for process in self._processes[service])
        self._stand_ins[service].set_open(all(absent))

    def _describe_absence(self, service: str) -> str:
        """Return why `service` has no process."""
        processes = self._processes[service]
        if not processes:
            return f"{service} has no process. Run `twelvefold scale {service}=1`."
        if all(process.is_halted for process in processes):
            return f"{service} was stopped. Run `twelvefold restart {service}`."
        output = processes[0].pipe.plain_lines_since(0) or ["no output"]
        return f"{service} does not start ({output[-1]}). See `twelvefold logs {service}`."


async def _end(process: SupervisedProcess, *, replaced: bool) -> None:
    await process.stop(replaced=replaced)
    _close_sockets(process)


async def _stop(processes: list[SupervisedProcess]) -> None:
    await asyncio.gather(*(process.stop() for process in processes))
    for process in processes:
        process.pipe.close()
        _close_sockets(process)


def _close_sockets(process: SupervisedProcess) -> None:
    """Close the sockets of this process only, after its last stop."""
    if isinstance(process.server, ServiceProcess):
        process.server.close()
