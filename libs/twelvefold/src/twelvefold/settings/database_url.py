"""What a PostgreSQL URL may say, checked before anything connects.

Platforms hand out URLs with libpq's parameters. Each of them works as libpq means it, or is named:
none is dropped without an error, and none first fails when a connection is made. Owns the reading; what
the driver is told is `database_client`'s.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEMES = ("postgres", "postgresql")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
OVER_TLS = SSL_MODES[3:]
SYSTEM_ROOTS = "system"  # libpq 16: the certificate authorities of the operating system
SESSION_ATTRIBUTES = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
MAX_CONNECT_TIMEOUT = 60  # seconds
_WORKS = frozenset(
    {
        "channel_binding", "connect_timeout", "host", "options", "sslcert", "sslkey", "sslmode",
        "sslpassword", "sslrootcert", "target_session_attrs",
    }
)  # fmt: skip
_FILES = ("sslcert", "sslkey", "sslrootcert")
# What is said elsewhere.
_ELSEWHERE = {
    "application_name": "is the suite's own",
    "dbname": "belongs into the path of the URL",
    "password": "belongs before the @ of the URL",
    "pgbouncer": "is said by DATABASE_POOLED=true",
    "port": "belongs behind the host of the URL",
    "statement_timeout": "is said by DATABASE_STATEMENT_TIMEOUT",
    "user": "belongs before the @ of the URL",
}


@dataclass(frozen=True, slots=True)
class DatabaseUrlParts:
    """A URL, taken apart. `parameters` holds those of its query that are given."""

    parts: SplitResult
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def ssl_mode(self) -> str | None:
        """As given; without it the driver prefers TLS, and the system's roots ask for verify-full."""
        if self.parameters.get("sslrootcert") == SYSTEM_ROOTS:
            return self.parameters.get("sslmode", "verify-full")
        return self.parameters.get("sslmode")

    @property
    def is_over_tls(self) -> bool:
        return self.ssl_mode in OVER_TLS

    @property
    def names_certificates(self) -> bool:
        """Whether the server is verified, or shown who calls: `require` alone does neither."""
        return self.ssl_mode != "require" or any(name in self.parameters for name in _FILES)


def parse_database_url(url: str) -> DatabaseUrlParts:
    """Raises ValueError naming what the driver would not take, or not as it is meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("has no valid host and port") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("must be a postgres:// or postgresql:// URL")
    if "," in parts.netloc.rpartition("@")[2]:
        raise ValueError(_SEVERAL_HOSTS)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has no valid host and port") from None
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("has a query that is not of the form name=value&…") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise ValueError("gives a parameter twice")
    for name in parameters:
        _require_known(name)
    _check_values(parameters)
    _check_tls(parameters)
    return DatabaseUrlParts(parts, parameters)


_SEVERAL_HOSTS = "names several hosts: give one, e.g. a proxy that follows the primary"


def _require_known(name: str) -> None:
    if name in _WORKS:
        return
    if name in _ELSEWHERE:
        raise ValueError(f"has the parameter {name}, which {_ELSEWHERE[name]}: leave it out")
    # A name may hold anything, a secret that was pasted wrongly among it.
    near = difflib.get_close_matches(name, _WORKS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_WORKS))}"
    raise ValueError(f"has a parameter that is not supported; {hint}")


def _check_values(parameters: dict[str, str]) -> None:
    if "," in parameters.get("host", ""):
        raise ValueError(_SEVERAL_HOSTS)
    _require_choice(parameters, "sslmode", SSL_MODES)
    _require_choice(parameters, "target_session_attrs", SESSION_ATTRIBUTES)
    _require_choice(parameters, "channel_binding", ("disable", "prefer", "require"))
    if parameters.get("channel_binding") == "require":
        raise ValueError(
            "asks for channel_binding=require, which the driver cannot do: "
            "leave it out and use sslmode=verify-full"
        )
    seconds = parameters.get("connect_timeout", "1")
    if seconds not in map(str, range(1, MAX_CONNECT_TIMEOUT + 1)):
        raise ValueError(f"has a connect_timeout that is not 1 to {MAX_CONNECT_TIMEOUT} seconds")


def _require_choice(parameters: dict[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in parameters and parameters[name] not in choices:
        raise ValueError(f"has an unknown {name}: it is one of {', '.join(choices)}")


def _check_tls(parameters: dict[str, str]) -> None:
    mode = parameters.get("sslmode")
    root = parameters.get("sslrootcert")
    if root == SYSTEM_ROOTS and mode not in (None, "verify-full"):
        raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
    if "sslkey" in parameters and "sslcert" not in parameters:
        raise ValueError("has an sslkey without an sslcert")
    if "sslpassword" in parameters and "sslkey" not in parameters:
        raise ValueError("has an sslpassword without an sslkey")
    if "sslcert" in parameters and not (mode in OVER_TLS or root == SYSTEM_ROOTS):
        raise ValueError("has an sslcert, which needs sslmode=require or stronger")
    for name in _FILES:
        path = parameters.get(name)
        if path is not None and (name, path) != ("sslrootcert", SYSTEM_ROOTS):
            _require_readable(name, Path(path))


def _require_readable(name: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except (OSError, ValueError):
        raise ValueError(f"has an {name} that names no readable file") from None
