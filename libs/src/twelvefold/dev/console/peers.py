"""Whose process is at the other end of a connection on loopback.

Log lines and caught mail are their owner's alone on disk; without this every account of a shared
machine could read them here. The kernel tells the user of one socket (sock_diag(7)); where it
cannot be asked, nobody is refused.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

Address = tuple[str, int]
_ROOT = 0
_SOCK_DIAG = 4  # netlink family
_BY_FAMILY, _REQUEST, _ERROR = 20, 1, 2
_HEADER = struct.Struct("=LHHLL")  # nlmsghdr
_WANTED = struct.Struct("=BBBxL")  # inet_diag_req_v2, up to the socket's id
_TCP, _ANY_STATE = 6, 0xFFFFFFFF
_UID = struct.Struct("=L")
_UID_AT = _HEADER.size + 4 + 48 + 12  # in inet_diag_msg
_TIMEOUT = 0.2  # seconds; the kernel answers before the call returns


def is_another_user(peer: Address, own: Address) -> bool:
    """Whether somebody else's process is at `peer` of the connection to `own`.

    Root counts as nobody else. Where we are root ourselves, as in a container, whoever comes in
    from outside is somebody else, and expected.
    """
    ours = os.geteuid()
    if ours == _ROOT:
        return False
    found = user_of(peer, own)
    return found is not None and found not in (ours, _ROOT)


def user_of(peer: Address, own: Address) -> int | None:
    """The user id behind the socket that is bound to `peer` and connected to `own` (IPv4)."""
    if sys.platform != "linux":
        return None
    try:
        answer = _ask(_question(peer, own))
    except OSError:
        return None
    if len(answer) < _UID_AT + _UID.size or _HEADER.unpack_from(answer)[1] == _ERROR:
        return None
    (uid,) = _UID.unpack_from(answer, _UID_AT)
    return int(uid)


def _question(peer: Address, own: Address) -> bytes:
    ports = struct.pack("!HH", peer[1], own[1])
    addresses = b"".join(socket.inet_aton(host).ljust(16, b"\0") for host, _ in (peer, own))
    any_interface, any_cookie = bytes(4), b"\xff" * 8
    wanted = _WANTED.pack(socket.AF_INET, _TCP, 0, _ANY_STATE)
    body = wanted + ports + addresses + any_interface + any_cookie
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def _ask(question: bytes) -> bytes:
    # AF_NETLINK is Linux's alone, and so is this.
    family: int = getattr(socket, "AF_NETLINK", 0)
    with socket.socket(family, socket.SOCK_DGRAM, _SOCK_DIAG) as kernel:
        kernel.settimeout(_TIMEOUT)
        kernel.send(question)
        return kernel.recv(4_096)
