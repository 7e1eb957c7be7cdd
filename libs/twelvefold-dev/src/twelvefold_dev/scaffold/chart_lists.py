"""The lists of services in charts: the peers of each other, and the callers of backing services.

A caller of a backing service is a service whose settings connect it to that server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from twelvefold.service.definition import Service
from twelvefold.settings import (
    EnvironmentSettings,
    MailSettings,
    ObjectStoreSettings,
    PostgresSettings,
    RedisSettings,
)

from .errors import ListMissing

_PEERS = re.compile(r"(?:    # [^\n]*\n    (\w+): \{app: \1[^\n]*\}\n)+")
_PASSWORDS = re.compile(r"(      BOOTSTRAP_ROLE_PASSWORDS: >-\n)(?:        [^\n]*\n)+")
_SERVERS: Mapping[str, type[EnvironmentSettings]] = {
    "postgres": PostgresSettings,
    "redis": RedisSettings,
    "s3": ObjectStoreSettings,
    "mail": MailSettings,
}
_INTERNAL_PORT = 8001


def write_peers(text: str, services: Mapping[str, Service]) -> str:
    """Return charts/common/values.yaml with every service as a peer."""
    peers = "".join(_peer(services[name]) for name in sorted(services))
    text, count = _PEERS.subn(lambda _: peers, text, count=1)
    if not count:
        raise ListMissing("charts/common/values.yaml has no peers with `app`")
    return text


def _peer(service: Service) -> str:
    name = service.name
    about, more = f"{name}, which has no internal port", ""
    if service.is_internal:
        about, more = f"Internal port of {name}", f", port: {_INTERNAL_PORT}"
    if service.is_public:
        about += " and is public" if not more else ", which is public"
        more += ", public: true"
    return f"    # {about}.\n    {name}: {{app: {name}{more}}}\n"


def write_backing(text: str, services: Mapping[str, Service]) -> str:
    """Return charts/backing/values.yaml with the callers of each server and every role."""
    for server, group in _SERVERS.items():
        callers = sorted(name for name, one in services.items() if issubclass(one.settings, group))
        if server == "postgres":
            callers += sorted(f"{name}-migrate" for name, one in services.items() if one.migrations)
        pattern = re.compile(
            rf"(^  {server}:\n(?:    .*\n)*?    callers: )\[[^\]]*\]", re.MULTILINE
        )
        text, count = pattern.subn(_with(f"[{', '.join(callers)}]"), text, count=1)
        if not count:
            raise ListMissing(f"charts/backing/values.yaml has no callers of {server}")
    owners = sorted(name for name, one in services.items() if one.migrations)
    roles = [f'"{name}_owner": "development", "{name}_app": "development"' for name in owners]
    passwords = "        {" + ",\n        ".join(roles) + "}\n"
    text, count = _PASSWORDS.subn(_with(passwords), text, count=1)
    if not count:
        raise ListMissing("charts/backing/values.yaml has no BOOTSTRAP_ROLE_PASSWORDS")
    return text


def _with(content: str) -> Callable[[re.Match[str]], str]:
    return lambda found: found[1] + content
