"""The ports of public services: as they were, or with a word about who has them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from twelvefold_dev.servers.server import StackError
from twelvefold_dev.supervisor.public_ports import PublicPorts


def listen(path: Path, **variables: str) -> tuple[int, list[str]]:
    ports = PublicPorts(path, variables)
    with closing(ports.listen("api")) as listener:
        port: int = listener.getsockname()[1]
        return port, ports.notices


@pytest.fixture
def record(tmp_path) -> Path:
    path: Path = tmp_path / "ports.json"
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_next_start_has_the_same_port(record, taken) -> None:
    first, _ = listen(record)
    record.write_text(f'{{"api": {first}}}')
    assert listen(record) == (first, [])


def test_a_recorded_port_is_preferred_to_8000(record) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    record.write_text(f'{{"api": {free}}}')
    assert listen(record) == (free, [])


def test_a_taken_port_is_reported_with_its_holder(record, taken) -> None:
    record.write_text(f'{{"api": {taken}}}')
    port, notices = listen(record)
    assert port != taken
    assert notices == [f"port {taken} is taken by {_this_process()}: api listens on {port}"]
    assert listen(record)[0] == port, "the new port is kept"


def test_the_suite_that_holds_a_port_is_named_by_its_folder(record, tmp_path) -> None:
    other = tmp_path / "other"
    (other / ".twelvefold").mkdir(parents=True)
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0)); "
        "print(server.getsockname()[1], flush=True); input()"
    )
    with subprocess.Popen(  # noqa: S603  (the line above)
        [sys.executable, "-c", code],
        cwd=other,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        record.write_text(f'{{"api": {port}}}')
        _, notices = listen(record)
        holder.kill()
    assert f"taken by the suite in {other.resolve()}: " in notices[0]


def test_port_fixes_the_port_and_is_not_recorded(record) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    assert listen(record, PORT=str(free)) == (free, [])
    assert not record.exists()


def test_a_taken_port_that_was_chosen_is_refused(record, taken) -> None:
    with pytest.raises(StackError, match=f"PORT {taken} is taken by .*: choose another"):
        listen(record, PORT=str(taken))


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1"])
def test_an_invalid_port_is_refused(record, value) -> None:
    with pytest.raises(StackError, match="PORT is not a port from 1 to 65535"):
        listen(record, PORT=value)


def _this_process() -> str:
    import psutil

    me = psutil.Process()
    if (Path(me.cwd()) / ".twelvefold").is_dir():
        return f"the suite in {me.cwd()}"
    return f"{me.name()} (process {me.pid})"


def test_only_the_first_service_has_the_port_that_was_chosen(record) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    ports = PublicPorts(record, {"PORT": str(free)})
    with closing(ports.listen("api")) as first, closing(ports.listen("orders")) as second:
        assert first.getsockname()[1] == free
        assert second.getsockname()[1] != free
    assert ports.notices == []
