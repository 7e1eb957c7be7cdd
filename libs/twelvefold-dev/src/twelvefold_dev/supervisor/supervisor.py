"""The supervisor, which starts all processes of a stack, keeps them running and stops them.

Owns the order and the messages about it; starts run concurrently where the order allows.
`supervised` handles a single process, `wiring` the connections between them.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twelvefold_dev.checkout import Checkout, write_private
from twelvefold_dev.environment.demo_account import DemoFailed, ensure_demo_account
from twelvefold_dev.environment.schema_record import SCHEMAS, migrate
from twelvefold_dev.servers.server import EmbeddedServer, Server, ServerFailed, StackError
from twelvefold_dev.terminal.logs import LogFile, LogPipe, Show

from .control import ControlServer, Message
from .detached import SUPERVISOR
from .fleet import Fleet
from .orphan_processes import terminate_orphans
from .reload.reloader import Reloader
from .reload.source_watcher import Sources, find_homes
from .reload.start_files import StartFiles
from .service_process import ServiceProcess
from .shutdown import ShutdownRequest, run_unless
from .startup_events import StartupEvents
from .status import own_row, rows
from .supervised import SupervisedProcess, SupervisionState
from .wiring import Wiring, mail_folder

if TYPE_CHECKING:
    from twelvefold.service.definition import Service

_START_TIMEOUT = 60.0  # seconds for a process to run again after a restart


class Supervisor:
    """The servers and services of one checkout. The caller holds the checkout's RunLock."""

    def __init__(
        self,
        checkout: Checkout,
        services: Mapping[str, Service],
        user_environment: Mapping[str, str],
        *,
        scale: Mapping[str, int],
        show: Show,
        notify: Callable[[Message], None],
        notices: Sequence[str] = (),
    ) -> None:
        """`notices` are sentences for the developer about this start."""
        self._checkout = checkout
        self._show = show
        self._events = StartupEvents(notify)
        self._notices = notices
        self._started = time.monotonic()
        self._numbers = itertools.count(1)
        self._shutdown = ShutdownRequest(self._kill_all)
        self._journal = LogFile(checkout.logs / f"{SUPERVISOR}.log")
        if orphans := terminate_orphans(checkout.run):
            self._log(f"ended {orphans} process(es) of an earlier run")
        self._wiring = Wiring(checkout, services, user_environment)
        self._servers = [self._supervise(server) for server in self._wiring.servers]
        counts = {name: scale.get(name, 1) for name in services}
        self._fleet = Fleet(self._wiring, counts, self._supervise)
        self._schemas = self._create_pipe(SCHEMAS)
        self._reload_failures: dict[str, str] = {}  # by service
        self._changing: set[str] = set()  # processes that are started, stopped or restarted now
        sources = Sources(checkout.root, find_homes(services), checkout.shared)
        self._reloader = Reloader(
            sources,
            StartFiles(checkout.root, sources.projects),
            migrate=self._prepare_schemas,
            replace=self._reload,
            report=self._log,
            failures=self._reload_failures,
        )

    async def run(self) -> None:
        """Run the stack until a signal or `down`.

        Raises StackError where the start fails, after stopping every process.
        """
        self._shutdown.listen()
        control = ControlServer(self._checkout.run, self._handle_command)
        try:
            await control.open()
            await run_unless(self._shutdown.requested, self._start())
            await run_unless(self._shutdown.requested, self._watch_sources())
        except StackError as error:
            await self._events.add(
                {"kind": "failed", "text": str(error), "tail": self._log_tail(error)}
            )
            raise
        finally:
            await self._stop()
            control.close()

    # Start

    async def _start(self) -> None:
        for pipe in (self._schemas, *(process.pipe for process in self._all_processes())):
            await pipe.open()
        try:
            async with asyncio.TaskGroup() as starting:
                for server in self._servers:
                    starting.create_task(self._start_server(server))
                starting.create_task(self._run_step(SCHEMAS, self._prepare_schemas()))
                for process in self._fleet:
                    starting.create_task(self._run_step(process.name, Fleet.start_process(process)))
        except BaseExceptionGroup as group:
            # Not except*: before Python 3.11.4 it wraps a raised error in another group.
            failures = group.subgroup(StackError)
            if failures is None:
                raise
            raise _first_error(failures) from None
        self._checkout.note_homes(self._wiring.data_homes())
        notices = [server.server.notice for server in self._servers if server.server.notice]
        for text in [*notices, *self._wiring.ports.notices, *self._notices]:
            await self._events.add({"kind": "notice", "text": text})
        await self._events.add(await self._ready_message())

    async def _run_step(self, name: str, work: Awaitable[None]) -> None:
        await self._events.add({"kind": "starting", "name": name})
        await work
        seconds = time.monotonic() - self._started
        await self._events.add({"kind": "up", "name": name, "seconds": seconds})

    async def _start_server(self, server: SupervisedProcess) -> None:
        try:
            await self._run_step(server.name, server.start())
        except StackError as error:
            if server.server is not self._wiring.console:
                raise
            await self._events.add({"kind": "notice", "text": f"console did not start: {error}"})

    async def _prepare_schemas(self) -> None:
        record = self._wiring.schema_record()
        if record.exists():
            await self._servers[0].wait_until_up()
            if await record.is_current():
                return
        environment = self._wiring.environments.of_preparation()
        await migrate(environment, self._checkout.root, self._schemas.writing)
        record.save()

    def _write_endpoints(self) -> dict[str, Any]:
        endpoints = self._wiring.endpoints(self._fleet.first_processes)
        write_private(self._checkout.endpoints, endpoints)
        return endpoints

    async def _ready_message(self) -> Message:
        endpoints = self._write_endpoints()
        message: Message = {
            "kind": "ready",
            "endpoints": endpoints,
            "endpoints_file": str(self._checkout.endpoints),
            "mail_folder": mail_folder(self._checkout, self._wiring.mail),
            "console": self._wiring.console_link,
        }
        edge = self._wiring.edge
        if edge is not None and edge.name in self._fleet.first_processes:
            try:
                message["demo"] = await ensure_demo_account(
                    endpoints["public"][edge.name], self._checkout.demo
                )
            except DemoFailed as error:
                await self._events.add({"kind": "notice", "text": str(error)})
        return message | {"seconds": time.monotonic() - self._started}

    # Changes and commands

    async def _watch_sources(self) -> None:
        try:
            await self._reloader.run()
        except (OSError, RuntimeError) as error:
            # The stack runs without reload, for example at the kernel's limit of watched files.
            self._log(f"sources are not watched, reload is off: {error}")
            await self._shutdown.requested.wait()

    async def _reload(self, service: str) -> None:
        async for _ in self._fleet.replace(service, at_once=True):
            self._write_endpoints()

    async def _handle_command(self, request: Message) -> AsyncIterator[Message]:
        command = request.get("command")
        if command == "follow":
            async for message in self._events.until_outcome():
                yield message
        elif command == "ps":
            yield await self._list_processes()
        elif command == "down":
            self._shutdown.requested.set()
            yield {"ending": True}
        elif command == "scale":
            await self._fleet.scale(request["service"], request["count"])
            self._write_endpoints()
            yield await self._list_processes()
        elif command == "env":
            yield {"environment": self._wiring.environments.of(request["process"])}
        elif command == "change":
            await self._change_process(request["process"], request["action"])
            yield await self._list_processes()
        elif command == "restart":
            async for name in self._fleet.replace(request["service"]):
                self._write_endpoints()
                yield {"replaced": name}
        else:
            raise StackError(f"unknown command {command!r}")

    async def _change_process(self, name: str, action: str) -> None:
        """Start, stop or restart one process. Raises StackError where that is not possible."""
        process = next((one for one in self._all_processes() if one.name == name), None)
        if process is None or not isinstance(process.server, EmbeddedServer):
            raise StackError(f"the supervisor starts and stops no process {name!r}")
        if action == "stop" and process.server is self._wiring.console:
            raise StackError("the console cannot be stopped from itself, only restarted")
        if name in self._changing:
            raise StackError(f"{name} is being started or stopped: wait until it is done")
        self._changing.add(name)
        try:
            await self._run_action(process, action)
        finally:
            self._changing.discard(name)
        self._log(f"{name}: {action} by request")

    async def _run_action(self, process: SupervisedProcess, action: str) -> None:
        if action == "stop":
            await process.halt()
        elif action not in ("start", "restart"):
            raise StackError(f"unknown action {action!r}: choose start, stop or restart")
        elif process.is_halted:
            try:
                await process.start()
            except StackError:
                await process.halt()
                raise
        elif action == "restart" and isinstance(process.server, ServiceProcess):
            await self._fleet.restart_process(process)
        elif action == "restart" or process.state is SupervisionState.BACKING_OFF:
            process.restart()
            if process.server is not self._wiring.console:  # which sends the response
                await _wait_until_up(process)
        self._write_endpoints()

    async def _list_processes(self) -> Message:
        supervisor = own_row(SUPERVISOR, time.monotonic() - self._started)
        processes = await rows(self._all_processes(), supervisor)
        for row in processes:
            row["reload_error"] = self._reload_failures.get(row["name"].partition(".")[0])
        return {"processes": processes}

    # Stop

    async def _stop(self) -> None:
        self._log("ending")
        self._checkout.endpoints.unlink(missing_ok=True)
        await self._fleet.stop()
        await asyncio.gather(*(server.stop() for server in self._servers))
        for server in self._servers:
            server.pipe.close()
        self._schemas.close()
        self._wiring.close()
        self._log("ended")

    def _kill_all(self) -> None:
        for process in self._all_processes():
            if process.server.pid is not None:
                os.kill(process.server.pid, signal.SIGKILL)

    # Processes

    def _all_processes(self) -> list[SupervisedProcess]:
        return [*self._fleet, *self._servers]

    def _supervise(self, server: Server, pipe: LogPipe | None = None) -> SupervisedProcess:
        if isinstance(server, EmbeddedServer):
            # Numbered, since a process and its replacement have the same name.
            server.pid_file = self._checkout.run / f"{server.name}-{next(self._numbers)}.pid"
        return SupervisedProcess(server, pipe or self._create_pipe(server.name), self._log)

    def _create_pipe(self, name: str) -> LogPipe:
        return LogPipe(name, LogFile(self._checkout.logs / f"{name}.log"), self._show)

    # Log

    def _log(self, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with suppress(OSError):
            self._journal.write(f"{stamp} {text}".encode())
        self._show(SUPERVISOR, text)

    def _log_tail(self, error: StackError) -> list[str]:
        """Return the last lines of the process that failed."""
        pipes = [self._schemas, *(process.pipe for process in self._all_processes())]
        failed = error.name if isinstance(error, ServerFailed) else None
        return [line for pipe in pipes if pipe.name == failed for line in pipe.tail]


async def _wait_until_up(process: SupervisedProcess) -> None:
    try:
        await asyncio.wait_for(process.wait_until_up(), _START_TIMEOUT)
    except TimeoutError:
        raise ServerFailed(process.name, "does not start; see its log") from None


def _first_error(group: BaseExceptionGroup[StackError]) -> StackError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, StackError) else StackError(str(error))
