"""Runs serve_child.py as a process of its own and follows what it logs."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

CHILD = Path(__file__).with_name("serve_child.py")
START = 30.0  # seconds; the machine may be busy


class Child:
    """The running process, its log lines as they come, and where it listens."""

    def __init__(self, process: asyncio.subprocess.Process, steps: Path) -> None:
        self.process = process
        self.lines: list[dict[str, object]] = []
        self.raw: list[str] = []
        self._steps = steps
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout
        async for raw in self.process.stdout:
            async with self._changed:
                self.raw.append(raw.decode())
                self.lines.append(json.loads(raw))
                self._changed.notify_all()

    async def logged(self, event: str, **fields: object) -> dict[str, object]:
        def found() -> dict[str, object] | None:
            for line in self.lines:
                if line["event"] == event and fields.items() <= line.items():
                    return line
            return None

        async with asyncio.timeout(START), self._changed:
            await self._changed.wait_for(found)
        line = found()
        assert line
        return line

    async def url(self, name: str) -> str:
        line = await self.logged("listening", name=name)
        return f"http://127.0.0.1:{line['port']}"

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(START):
            code = await self.process.wait()
            await self._reading
            return code

    @property
    def steps(self) -> list[str]:
        return self._steps.read_text().splitlines() if self._steps.exists() else []


@asynccontextmanager
async def running(
    folder: Path, *, fds: tuple[int, ...] = (), ready: bool = True, **settings: str
) -> AsyncIterator[Child]:
    steps, schema = folder / f"steps-{time.monotonic_ns()}", folder / "schema"
    if ready:
        schema.touch()
    environment = {
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "testing",
        "PORT": "0",
        "INTERNAL_PORT": "0",
        "MANAGEMENT_PORT": "0",
        "HTTP_LAME_DUCK": "0",
        "STEPS": str(steps),
        "SCHEMA_FILE": str(schema),
        **settings,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), env=environment, stdout=asyncio.subprocess.PIPE, pass_fds=fds
    )
    child = Child(process, steps)
    try:
        if ready:
            await child.logged("ready")
        yield child
    finally:
        if process.returncode is None:
            process.kill()
        await child.ended()


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(START):
        while not check():
            await asyncio.sleep(0.01)


async def status_of(url: str) -> int:
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).status_code


async def raw_exchange(url: str, sent: bytes, *, limit: float = 15) -> bytes:
    """What comes back until the server closes."""
    host, port = httpx.URL(url).host, httpx.URL(url).port
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(sent)
    try:
        async with asyncio.timeout(limit):
            return await reader.read()
    finally:
        writer.close()


def in_flight(child: Child) -> bool:
    """Whether the child's public socket has an accepted connection with a request read."""
    with Path(f"/proc/{child.process.pid}/net/tcp").open() as table:
        port = next(line["port"] for line in child.lines if line.get("name") == "public")
        return any(
            row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "01"
            for row in table.readlines()[1:]
        )
