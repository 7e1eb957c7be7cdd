"""Where everything is: URLs to open, and URLs with a password, which no page shows.

Such a one is shown without it; the whole of it is handed out for the clipboard, for the token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twelvefold_dev.checkout import read_json
from twelvefold_dev.servers.server import StackError, strip_password

from .config import ConsoleConfig


@dataclass(frozen=True, slots=True)
class ConsoleLink:
    """`href`: can be opened. `secret`: the whole is handed out on demand. `text` is shown."""

    name: str
    title: str
    text: str
    href: str | None = None
    secret: bool = False


def console_links(config: ConsoleConfig) -> list[ConsoleLink]:
    endpoints = config.endpoints
    found = []
    if api := endpoints.get("api"):
        found += [
            ConsoleLink("docs", "API documentation", f"{api}/docs", href=f"{api}/docs"),
            ConsoleLink(
                "openapi", "OpenAPI document", f"{api}/openapi.json", href=f"{api}/openapi.json"
            ),
        ]
    for name, title in (("postgres", "PostgreSQL"), ("redis", "Redis")):
        url = endpoints[name]
        shown = strip_password(url)
        found.append(ConsoleLink(name, title, shown, secret=shown != url))
    found.append(ConsoleLink("s3", "S3", strip_password(str(endpoints["s3"]))))
    if account := _demo(config):
        found.append(ConsoleLink("demo", "Demo account", account["email"], secret=True))
    found += [
        ConsoleLink("mail", "Caught mail", config.mail_folder or strip_password(endpoints["mail"])),
        ConsoleLink("logs", "Log files", str(config.checkout.logs)),
        ConsoleLink("endpoints", "Every URL", str(config.checkout.endpoints)),
    ]
    return found


def secret_of(config: ConsoleConfig, name: str) -> str | None:
    """The whole URL, or the demo account's password; None for anything else."""
    if name in ("postgres", "redis"):
        return str(config.endpoints[name])
    if name == "demo" and (account := _demo(config)):
        return account["password"]
    return None


def _demo(config: ConsoleConfig) -> dict[str, str] | None:
    try:
        found: Any = read_json(config.checkout.demo)
    except StackError:
        return None
    return found if isinstance(found, dict) and found.get("registered") else None
