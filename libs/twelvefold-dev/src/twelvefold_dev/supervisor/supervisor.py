"""The supervisor: starts everything at once where the order allows, keeps it up, ends it in order.

Owns the order and the messages about it. One process is `supervised`'s business, what is
connected to what is `wiring`'s.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twelvefold_dev.checkout import Checkout, write_private
from twelvefold_dev.environment.demo_account import DemoFailed, demo_account
from twelvefold_dev.environment.schema_record import SCHEMAS, migrate
from twelvefold_dev.servers.server import EmbeddedServer, Server, ServerFailed, StackError
from twelvefold_dev.terminal.logs import LogFile, LogPipe, Show

from .control import ControlServer, Message
from .detached import SUPERVISOR
from .fleet import Fleet
from .orphan_processes import terminate_orphans
from .service_process import EDGE
from .shutdown import ShutdownRequest, run_unless
from .source_watcher import SourceChange, Sources
from .startup_events import StartupEvents
from .status import own_row, rows
from .supervised import SupervisedProcess
from .wiring import Wiring, mail_folder

if TYPE_CHECKING:
    from twelvefold.service.definition import Service


class Supervisor:
    """One checkout's servers and services. The caller holds the checkout's RunLock."""

    def __init__(
        self,
        checkout: Checkout,
        services: Mapping[str, Service],
        own: Mapping[str, str],
        *,
        scale: Mapping[str, int],
        show: Show,
        notify: Callable[[Message], None],
    ) -> None:
        self._checkout = checkout
        self._show = show
        self._announced = StartupEvents(notify)
        self._started = time.monotonic()
        self._numbers = itertools.count(1)
        self._ending = ShutdownRequest(self._kill_all)
        self._journal = LogFile(checkout.logs / f"{SUPERVISOR}.log")
        if earlier := terminate_orphans(checkout.run):
            self._say(f"ended {earlier} process(es) of an earlier run")
        self._wiring = Wiring(checkout, services, own)
        self._servers = [self._supervised(server) for server in self._wiring.servers]
        counts = {name: scale.get(name, 1) for name in services}
        self._fleet = Fleet(self._wiring, counts, self._supervised)
        self._schemas = self._pipe(SCHEMAS)
        self._sources = Sources(checkout.root, services)

    async def run(self) -> None:
        """Until a signal or `down`. Raises StackError where the start fails; all is ended then."""
        self._ending.listen()
        control = ControlServer(self._checkout.run, self._answer)
        try:
            await control.open()
            await run_unless(self._ending.asked, self._start())
            await run_unless(self._ending.asked, self._follow_sources())
        except StackError as error:
            await self._announced.add(
                {"kind": "failed", "text": str(error), "tail": self._tail(error)}
            )
            raise
        finally:
            await self._end()
            control.close()

    # Start

    async def _start(self) -> None:
        for pipe in (self._schemas, *(process.pipe for process in self._everyone())):
            await pipe.open()
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self._servers:
                    starting.create_task(self._start_server(server))
                starting.create_task(self._step(SCHEMAS, self._prepare()))
                for process in self._fleet:
                    starting.create_task(self._step(process.name, Fleet.until_ready(process)))
        except BaseExceptionGroup as group:
            # Not except*: before 3.11.4 it wraps what is raised in it once more.
            failures = group.subgroup(StackError)
            if failures is None:
                raise
            raise _first(failures) from None
        self._checkout.note_homes(self._wiring.data_homes())
        for server in self._servers:
            if server.server.notice:
                await self._announced.add({"kind": "notice", "text": server.server.notice})
        await self._announced.add(await self._ready())

    async def _step(self, name: str, work: Awaitable[None]) -> None:
        await self._announced.add({"kind": "starting", "name": name})
        await work
        seconds = time.monotonic() - self._started
        await self._announced.add({"kind": "up", "name": name, "seconds": seconds})

    async def _start_server(self, server: SupervisedProcess) -> None:
        try:
            await self._step(server.name, server.start())
        except StackError as error:
            if server.server is not self._wiring.console:
                raise
            await self._announced.add({"kind": "notice", "text": f"console did not start: {error}"})

    async def _prepare(self) -> None:
        record = self._wiring.schema_record()
        if record.exists():
            await self._servers[0].wait_until_up()
            if await record.is_current():
                return
        environment = self._wiring.environments.of_preparation()
        await migrate(environment, self._checkout.root, self._schemas.writing)
        record.note()

    def _write_endpoints(self) -> dict[str, Any]:
        endpoints = self._wiring.endpoints(self._fleet.firsts)
        write_private(self._checkout.endpoints, endpoints)
        return endpoints

    async def _ready(self) -> Message:
        endpoints = self._write_endpoints()
        message: Message = {
            "kind": "ready",
            "endpoints": endpoints,
            "endpoints_file": str(self._checkout.endpoints),
            "mail_folder": mail_folder(self._checkout, self._wiring.mail),
            "console": self._wiring.console_link,
        }
        if EDGE in self._fleet.firsts:
            try:
                message["demo"] = await demo_account(endpoints["api"], self._checkout.demo)
            except DemoFailed as error:
                await self._announced.add({"kind": "notice", "text": str(error)})
        return message | {"seconds": time.monotonic() - self._started}

    # While it runs

    async def _follow_sources(self) -> None:
        try:
            async for change in self._sources.changes():
                await self._take(change)
        except (OSError, RuntimeError) as error:
            # The kernel's bound on watched files, for one: no reason to end.
            self._say(f"sources are not watched, nothing reloads: {error}")
            await self._ending.asked.wait()

    async def _take(self, change: SourceChange) -> None:
        self._say(f"{change.example} changed: restarting {', '.join(sorted(change.services))}")
        if change.migrations:
            try:
                await self._prepare()
            except StackError as error:
                self._say(str(error))
        await self._fleet.reload(change.services)

    async def _answer(self, request: Message) -> AsyncIterator[Message]:
        command = request.get("command")
        if command == "follow":
            async for message in self._announced.until_outcome():
                yield message
        elif command == "ps":
            yield await self._processes_now()
        elif command == "down":
            self._ending.asked.set()
            yield {"ending": True}
        elif command == "scale":
            await self._fleet.scale(request["service"], request["count"])
            self._write_endpoints()
            yield await self._processes_now()
        elif command == "env":
            yield {"environment": self._wiring.environments.of(request["process"])}
        elif command == "restart":
            async for name in self._fleet.replace(request["service"]):
                self._write_endpoints()
                yield {"replaced": name}
        else:
            raise StackError(f"unknown command {command!r}")

    async def _processes_now(self) -> Message:
        supervisor = own_row(SUPERVISOR, time.monotonic() - self._started)
        return {"processes": await rows(self._everyone(), supervisor)}

    # End

    async def _end(self) -> None:
        self._say("ending")
        self._checkout.endpoints.unlink(missing_ok=True)
        await self._fleet.stop()
        await asyncio.gather(*(server.stop() for server in self._servers))
        for server in self._servers:
            server.pipe.close()
        self._schemas.close()
        self._wiring.close()
        self._say("ended")

    def _kill_all(self) -> None:
        for process in self._everyone():
            if process.server.pid is not None:
                os.kill(process.server.pid, signal.SIGKILL)

    # What there is

    def _everyone(self) -> list[SupervisedProcess]:
        return [*self._fleet, *self._servers]

    def _supervised(self, server: Server, pipe: LogPipe | None = None) -> SupervisedProcess:
        if isinstance(server, EmbeddedServer):
            # Numbered, since a process and the one in its place have the same name for a while.
            server.pid_file = self._checkout.run / f"{server.name}-{next(self._numbers)}.pid"
        return SupervisedProcess(server, pipe or self._pipe(server.name), self._say)

    def _pipe(self, name: str) -> LogPipe:
        return LogPipe(name, LogFile(self._checkout.logs / f"{name}.log"), self._show)

    # What is told

    def _say(self, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with suppress(OSError):
            self._journal.write(f"{stamp} {text}".encode())
        self._show(SUPERVISOR, text)

    def _tail(self, error: StackError) -> list[str]:
        """The last lines of the process that failed."""
        pipes = [self._schemas, *(process.pipe for process in self._everyone())]
        failed = error.name if isinstance(error, ServerFailed) else None
        return [line for pipe in pipes if pipe.name == failed for line in pipe.tail]


def _first(group: BaseExceptionGroup[StackError]) -> StackError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, StackError) else StackError(str(error))
