"""A served process as clients, balancers and supervisors see it: real sockets, real signals."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

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


@pytest.fixture(scope="module")
async def child(tmp_path_factory) -> AsyncIterator[Child]:
    """One process for the tests that leave it as it was."""
    async with running(tmp_path_factory.mktemp("child")) as child:
        yield child


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


async def test_sigterm_ends_a_process_in_order_with_exit_code_0(tmp_path):
    async with running(tmp_path) as child:
        assert await status_of(await child.url("management") + "/readyz") == 200
        child.signal()
        assert await child.ended() == 0
    assert child.steps == [
        "first opened",
        "second opened",
        "drained",
        "second closed",
        "first closed",
        "backing closed",
    ]
    assert [line["event"] for line in child.lines][-2:] == ["stopping", "stopped"]


async def test_sigint_ends_it_as_sigterm_does(tmp_path):
    async with running(tmp_path) as child:
        child.signal(signal.SIGINT)
        assert await child.ended() == 0
    assert child.steps[-1] == "backing closed"


async def test_a_second_signal_ends_it_at_once(tmp_path):
    async with running(tmp_path, HTTP_LAME_DUCK="60") as child:
        child.signal()
        await child.logged("stopping")
        child.signal()
        assert await child.ended() == 128 + signal.SIGTERM


async def test_a_signal_while_it_opens_abandons_the_opening(tmp_path):
    async with running(tmp_path, ready=False, OPENING_HANGS="true") as child:
        await until(lambda: "first opened" in child.steps)
        child.signal()
        assert await child.ended() == 0
    assert child.steps == ["first opened", "backing closed"]


async def test_during_the_lame_duck_requests_are_answered_and_connections_closed(tmp_path):
    async with running(tmp_path, HTTP_LAME_DUCK="3") as child, httpx.AsyncClient() as client:
        public, management = await child.url("public"), await child.url("management")
        first = await client.get(f"{public}/api/v1/quick")
        assert "connection" not in first.headers
        child.signal()
        await child.logged("stopping")
        async with httpx.AsyncClient() as prober:
            assert (await prober.get(f"{management}/readyz")).status_code == 503
            assert (await prober.get(f"{management}/livez")).status_code == 200
        # The idle keep-alive connection of before still works, and so do new ones.
        second = await client.get(f"{public}/api/v1/quick")
        assert second.status_code == 200
        assert second.headers["connection"] == "close"
        async with httpx.AsyncClient() as newcomer:
            third = await newcomer.get(f"{public}/api/v1/quick")
        assert third.status_code == 200
        assert third.headers["connection"] == "close"
        assert await child.ended() == 0


async def test_a_request_in_flight_finishes_within_the_grace_period(tmp_path):
    async with running(tmp_path, HTTP_GRACE="10") as child, httpx.AsyncClient() as client:
        public = await child.url("public")
        slow = asyncio.create_task(client.get(f"{public}/api/v1/slow", params={"seconds": 1}))
        await until(lambda: in_flight(child))
        child.signal()
        answer = await slow
        assert answer.json() == {"slept": 1}
        assert await child.ended() == 0


def in_flight(child: Child) -> bool:
    """Whether the child's public socket has an accepted connection with a request read."""
    with Path(f"/proc/{child.process.pid}/net/tcp").open() as table:
        port = next(line["port"] for line in child.lines if line.get("name") == "public")
        return any(
            row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "01"
            for row in table.readlines()[1:]
        )


async def test_what_outlasts_the_grace_period_gets_a_503_problem(tmp_path):
    async with running(tmp_path, HTTP_GRACE="0.2") as child, httpx.AsyncClient() as client:
        public = await child.url("public")
        slow = asyncio.create_task(client.get(f"{public}/api/v1/slow", params={"seconds": 60}))
        await until(lambda: in_flight(child))
        await status_of(f"{public}/api/v1/quick")  # so the slow request was read before
        child.signal()
        answer = await slow
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["type"] == "/problems/unavailable"
        assert await child.ended() == 0


async def test_an_event_stream_ends_by_the_drain_and_not_by_the_request_timeout(tmp_path):
    async with (
        running(tmp_path, HTTP_REQUEST_TIMEOUT="0.1") as child,
        httpx.AsyncClient() as client,
        client.stream("GET", await child.url("public") + "/api/v1/streams/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: open"
        assert await status_of(await child.url("public") + "/api/v1/slow?seconds=5") == 503
        child.signal()
        assert "event: end" in [line async for line in lines]
        assert await child.ended() == 0


async def test_a_process_starts_and_waits_while_its_schema_is_not_there(tmp_path):
    async with running(tmp_path, ready=False) as child:
        await child.logged("waiting_for_schema")
        readyz = await child.url("management") + "/readyz"
        assert await status_of(readyz) == 503
        (tmp_path / "schema").touch()
        await child.logged("ready")
        assert await status_of(readyz) == 200
    assert sum(line["event"] == "waiting_for_schema" for line in child.lines) == 1


async def test_processes_share_an_inherited_socket_and_a_restart_refuses_no_request(tmp_path):
    with socket.socket() as shared:
        shared.bind(("127.0.0.1", 0))
        shared.listen(128)
        shared.set_inheritable(True)
        url = f"http://127.0.0.1:{shared.getsockname()[1]}/api/v1/quick"
        fd = (shared.fileno(),)
        inherited = str(shared.fileno())
        async with running(tmp_path, fds=fd, HTTP_FD=inherited) as old:
            stop = asyncio.Event()
            clients = [asyncio.create_task(keep_asking(url, stop)) for _ in range(8)]
            async with running(tmp_path, fds=fd, HTTP_FD=inherited):
                old.signal()
                assert await old.ended() == 0
                stop.set()
                answers = [answer for client in clients for answer in await client]
    assert set(answers) == {200}
    assert len(answers) > 50


async def keep_asking(url: str, stop: asyncio.Event) -> list[int]:
    answers = []
    async with httpx.AsyncClient() as client:  # keep-alive
        while not stop.is_set():
            answers.append((await client.get(url)).status_code)
    return answers


async def test_a_body_over_the_limit_gets_its_413_and_is_not_read_to_the_end(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 5000000000\r\n\r\n"
    )
    # The answer is there before a byte of the body is.
    head, _, body = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body)["type"] == "/problems/payload-too-large"
    with pytest.raises(ConnectionError):
        await send_megabytes(writer, 300)
    writer.close()


async def send_megabytes(writer: asyncio.StreamWriter, count: int) -> None:
    for _ in range(count):
        writer.write(b" " * 1_000_000)
        await writer.drain()


async def test_a_client_that_sends_all_before_it_reads_still_finds_the_413(child):
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            await child.url("public") + "/api/v1/echo",
            content=b" " * 20_000_000,
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code == 413


async def test_a_chunked_body_is_refused_at_the_chunk_that_crosses_the_limit(child):
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1_000_000

    async with httpx.AsyncClient() as client:
        url = await child.url("public") + "/api/v1/upload"
        answer = await client.post(url, content=chunks(5))
        assert answer.json() == {"size": 5_000_000}
        refused = await client.post(url, content=chunks(6))
        assert refused.status_code == 413


async def test_a_body_that_nobody_reads_does_not_spoil_its_connection(child):
    async with httpx.AsyncClient() as client:
        url = await child.url("public")
        for _ in range(2):
            answer = await client.post(f"{url}/api/v1/refused", content=b" " * 900_000)
            assert answer.status_code == 401
        assert (await client.get(f"{url}/api/v1/quick")).status_code == 200


async def test_a_body_that_goes_on_after_its_answer_is_cut_off(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /api/v1/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
    async with asyncio.timeout(15):
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")  # to its end
    writer.close()


async def test_what_is_no_http_is_answered_with_a_problem(child):
    answer = await raw_exchange(await child.url("public"), b"NONSENSE\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["status"] == 400


async def test_an_endless_head_is_refused(child):
    sent = b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 200_000
    answer = await raw_exchange(await child.url("public"), sent)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_a_head_that_comes_a_byte_at_a_time_is_cut_off(child):
    url = httpx.URL(await child.url("public"))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    started = time.monotonic()
    answer = asyncio.create_task(reader.read())
    for byte in b"GET /api/v1/quick HTTP/1.1\r\nHost: x" + b"x" * 60:
        writer.write(bytes([byte]))
        done, _ = await asyncio.wait([answer], timeout=0.3)
        if done:
            break
    assert (await answer).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - started < 15
    writer.close()


async def test_a_post_that_offers_http2_is_served_all_the_same(child):
    body = b'{"a":1}'
    sent = (
        b"POST /api/v1/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
        b"Content-Type: application/json\r\nContent-Length: 7\r\n\r\n" + body
    )
    answer = await raw_exchange(await child.url("public"), sent)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(body)


async def test_a_connection_serves_on_after_an_offer_of_http2(child):
    offer = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    first = b"GET /api/v1/quick HTTP/1.1\r\n" + offer + b"\r\n"
    second = b"GET /api/v1/quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await raw_exchange(await child.url("public"), first + first + second)
    assert answer.count(b"HTTP/1.1 200 ") == 3


async def test_a_connect_is_refused(child):
    sent = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    answer = await raw_exchange(await child.url("public"), sent)
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_forwarded_headers_count_only_from_a_trusted_proxy(tmp_path):
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with running(tmp_path) as child, httpx.AsyncClient() as client:
        answer = await client.get(await child.url("public") + "/api/v1/quick", headers=headers)
        assert answer.json() == {"client": "127.0.0.1", "scheme": "http"}
    trusted = running(tmp_path, HTTP_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    async with trusted as child, httpx.AsyncClient() as client:
        answer = await client.get(await child.url("public") + "/api/v1/quick", headers=headers)
        assert answer.json() == {"client": "203.0.113.9", "scheme": "https"}


async def test_a_taken_port_is_one_line_and_exit_code_1(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with running(tmp_path, ready=False, PORT=port) as child:
            assert await child.ended() == 1
    assert [line["event"] for line in child.lines] == ["cannot_listen"]


async def test_every_line_on_stdout_is_json_and_every_request_has_one(tmp_path):
    async with running(tmp_path) as child:
        answer = await status_of(await child.url("public") + "/api/v1/quick")
        assert answer == 200
        line = await child.logged("request")
        child.signal()
        await child.ended()
    assert line["route"] == "/api/v1/quick"
    assert len(str(line["trace_id"])) == 32
    assert all(raw.startswith("{") for raw in child.raw)
    names = [line["name"] for line in child.lines if line["event"] == "listening"]
    assert names == ["public", "management"]
