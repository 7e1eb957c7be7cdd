"""One key per client for all spellings of its address, made by one function."""

import ast
from pathlib import Path

import pytest

from twelvefold.security.client_key import UNKNOWN, client_key

ROOT = Path(__file__).parents[3]
# Modules that read a peer's address without counting by it, and what for.
READERS = {
    "libs/twelvefold/src/twelvefold/http/edge/authenticator.py": "passes it to client_key",
    "libs/twelvefold/src/twelvefold/http/middleware/address_limit.py": "passes it to client_key",
    "libs/twelvefold/src/twelvefold/http/management.py": "lets only loopback change the log level",
    "libs/twelvefold/src/twelvefold/http/server/wire/request_head.py": "parses an IPv6 Host",
    "libs/twelvefold/src/twelvefold/settings/addresses.py": "checks which proxies are trusted",
    "services/api/src/api/routes/auth.py": "passes it to users, for the list of sessions",
    "services/api/src/api/routes/jobs.py": "passes it to client_key",
}


@pytest.mark.parametrize(
    ("spellings", "key"),
    [
        (["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"], "192.0.2.7"),
        (["2002:c000:207::1", "2002:c000:207:ffff::9"], "192.0.2.7"),  # 6to4: 65,536 /64s
        (["64:ff9b::192.0.2.7", "64:ff9b::c000:207"], "192.0.2.7"),  # NAT64: all clients share it
        (["64:ff9b::192.0.2.8"], "192.0.2.8"),
        (["2001:db8:1:2::1", "2001:0DB8:1:2:ffff::1", "2001:db8:1:2::"], "2001:db8:1:2::"),
        (["2001:db8:1:3::1"], "2001:db8:1:3::"),
        (["fe80::1%eth0", "fe80::2%eth1"], "fe80::"),
        ([None, "", "testclient", "1.2.3", "192.0.2.1/24", "\0", "\uff1192.0.2.1"], UNKNOWN),
    ],
)
def test_every_spelling_of_a_client_has_one_key(spellings, key):
    assert {client_key(spelling) for spelling in spellings} == {key}


def test_the_key_of_a_key_is_the_same():
    for address in ("192.0.2.7", "2001:db8:1:2::9", "nonsense"):
        assert client_key(client_key(address)) == client_key(address)


def _reads_a_peer(node: ast.AST) -> bool:
    """`request.client`, `scope["client"]`, `scope.get("client")`, or a parsed address."""
    match node:
        case ast.Attribute(value=ast.Attribute(attr="client"), attr="host"):
            return True
        case ast.Subscript(slice=ast.Constant(value="client")):
            return True
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value="client"), *_]):
            return True
        case ast.Import(names=names):
            return any(name.name == "ipaddress" for name in names)
        case ast.ImportFrom(module="ipaddress"):
            return True
        case _:
            return False


def test_only_client_key_makes_a_key_of_an_address():
    """A new reader of peers' addresses counts by client_key, or is added to READERS."""
    home = ROOT / "libs/twelvefold/src/twelvefold/security/client_key.py"
    sources = [
        *(ROOT / "libs/twelvefold/src/twelvefold").rglob("*.py"),
        *(ROOT / "services").glob("*/src/**/*.py"),
    ]
    readers = {
        str(source.relative_to(ROOT))
        for source in sources
        if source != home
        and not source.is_relative_to(
            ROOT / "libs/twelvefold-dev/src/twelvefold_dev"
        )  # the laptop stack counts no clients
        and any(map(_reads_a_peer, ast.walk(ast.parse(source.read_text()))))
    }
    assert readers == set(READERS)
