"""Whose process asks: the kernel knows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from twelvefold.dev.console import peers
from twelvefold.dev.console.peers import is_another_user, user_of

NOBODY = 65_534
CONNECT = """
import encodings.idna, os, socket, sys  # what is imported later, nobody may read
os.setuid(int(sys.argv[2]))
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    print(connection.getsockname()[1], flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel is asked on Linux only")


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_our_own_connection_is_ours(listener) -> None:
    with socket.create_connection(listener.getsockname()) as connection:
        peer, own = connection.getsockname(), connection.getpeername()
        assert user_of(peer, own) == os.geteuid()
        assert not is_another_user(peer, own)


def test_a_connection_that_is_not_there_is_nobody_s(listener) -> None:
    assert user_of(("127.0.0.1", 1), listener.getsockname()) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("ours", "refused"), [(1_000, True), (NOBODY, False), (0, False)])
def test_another_account_is_told_from_ours(listener, monkeypatch, ours, refused) -> None:
    command = [sys.executable, "-I", "-c", CONNECT, str(listener.getsockname()[1]), str(NOBODY)]
    other = subprocess.Popen(  # noqa: S603 (our own)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        peer = ("127.0.0.1", int(other.stdout.readline()))
        assert user_of(peer, listener.getsockname()) == NOBODY
        monkeypatch.setattr(os, "geteuid", lambda: ours)
        assert is_another_user(peer, listener.getsockname()) is refused
        other.communicate("")


def test_where_the_kernel_cannot_be_asked_nobody_is_refused(listener, monkeypatch) -> None:
    def refuse(_: bytes) -> bytes:
        raise PermissionError

    monkeypatch.setattr(peers, "_ask", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with socket.create_connection(listener.getsockname()) as connection:
        assert not is_another_user(connection.getsockname(), connection.getpeername())
