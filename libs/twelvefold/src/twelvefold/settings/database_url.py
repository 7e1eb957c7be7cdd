"""Parsing and checks of PostgreSQL URLs, before anything connects.

Platforms provide URLs with libpq's parameters. Each parameter works as in libpq or is refused by
name: none is ignored, and none fails only on connecting. `database.client` converts them for the
driver.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

SCHEMES = ("postgres", "postgresql")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
TLS_MODES = SSL_MODES[3:]
SYSTEM_ROOTS = "system"  # libpq 16: the certificate authorities of the operating system
SESSION_ATTRIBUTES = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
MAX_CONNECT_TIMEOUT = 60  # seconds
_SUPPORTED = frozenset(
    {
        "channel_binding", "connect_timeout", "host", "options", "sslcert", "sslkey", "sslmode",
        "sslpassword", "sslrootcert", "target_session_attrs",
    }
)  # fmt: skip
_FILES = ("sslcert", "sslkey", "sslrootcert")
# Parameters that are set elsewhere, with the end of the error message.
_SET_ELSEWHERE = {
    "application_name": "Twelvefold sets itself",
    "dbname": "belongs in the path of the URL",
    "password": "belongs before the @ of the URL",
    "pgbouncer": "DATABASE_POOLED=true replaces",
    "port": "belongs after the host of the URL",
    "statement_timeout": "DATABASE_STATEMENT_TIMEOUT replaces",
    "user": "belongs before the @ of the URL",
}


@dataclass(frozen=True, slots=True)
class DatabaseUrlParts:
    """A parsed URL; `parameters` is its query."""

    parts: SplitResult
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def ssl_mode(self) -> str | None:
        """`sslmode`, or verify-full with `sslrootcert=system`; None: the driver prefers TLS."""
        if self.parameters.get("sslrootcert") == SYSTEM_ROOTS:
            return self.parameters.get("sslmode", "verify-full")
        return self.parameters.get("sslmode")

    @property
    def is_over_tls(self) -> bool:
        return self.ssl_mode in TLS_MODES

    @property
    def has_certificates(self) -> bool:
        """Whether either side presents a certificate to verify: `require` alone does not."""
        return self.ssl_mode != "require" or any(name in self.parameters for name in _FILES)


def parse_database_url(url: str) -> DatabaseUrlParts:
    """Parse and check a URL. Raises ValueError for what the driver refuses or misunderstands."""
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
        raise ValueError("has a query that is not name=value&…") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise ValueError("gives a parameter twice")
    for name in parameters:
        _require_known(name)
    _check_values(parameters)
    _check_tls(parameters)
    return DatabaseUrlParts(parts, parameters)


_SEVERAL_HOSTS = "has several hosts: give one, e.g. a proxy that follows the primary"


def _require_known(name: str) -> None:
    if name in _SUPPORTED:
        return
    if name in _SET_ELSEWHERE:
        raise ValueError(f"has the parameter {name}, which {_SET_ELSEWHERE[name]}: leave it out")
    # The error does not repeat the name, which may be a misplaced secret.
    near = difflib.get_close_matches(name, _SUPPORTED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"supported: {', '.join(sorted(_SUPPORTED))}"
    raise ValueError(f"has a parameter that is not supported; {hint}")


def _check_values(parameters: dict[str, str]) -> None:
    if "," in parameters.get("host", ""):
        raise ValueError(_SEVERAL_HOSTS)
    _require_choice(parameters, "sslmode", SSL_MODES)
    _require_choice(parameters, "target_session_attrs", SESSION_ATTRIBUTES)
    _require_choice(parameters, "channel_binding", ("disable", "prefer", "require"))
    if parameters.get("channel_binding") == "require":
        raise ValueError(
            "has channel_binding=require, which the driver does not support: "
            "leave it out and use sslmode=verify-full"
        )
    seconds = parameters.get("connect_timeout", "1")
    if seconds not in map(str, range(1, MAX_CONNECT_TIMEOUT + 1)):
        raise ValueError(f"has a connect_timeout that is not 1 to {MAX_CONNECT_TIMEOUT} seconds")


def _require_choice(parameters: dict[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in parameters and parameters[name] not in choices:
        raise ValueError(f"has an unknown {name}: use one of {', '.join(choices)}")


def _check_tls(parameters: dict[str, str]) -> None:
    mode = parameters.get("sslmode")
    root = parameters.get("sslrootcert")
    if root == SYSTEM_ROOTS and mode not in (None, "verify-full"):
        raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
    if "sslkey" in parameters and "sslcert" not in parameters:
        raise ValueError("has an sslkey without an sslcert")
    if "sslpassword" in parameters and "sslkey" not in parameters:
        raise ValueError("has an sslpassword without an sslkey")
    if "sslcert" in parameters and not (mode in TLS_MODES or root == SYSTEM_ROOTS):
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
        raise ValueError(f"has an {name} that is not a readable file") from None
