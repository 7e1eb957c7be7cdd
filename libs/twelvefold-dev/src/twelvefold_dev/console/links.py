"""The links that the console offers: URLs to open, and URLs that contain a password.

The page shows the latter without the password; the complete URL is copied to the clipboard on
request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twelvefold_dev.checkout import read_json
from twelvefold_dev.servers.server import StackError, strip_password

from .config import ConsoleConfig


@dataclass(frozen=True, slots=True)
class ConsoleLink:
    """One link. `text` is displayed, `href` can be opened, `secret` has a value on request."""

    name: str
    title: str
    text: str
    href: str | None = None
    secret: bool = False


def console_links(config: ConsoleConfig) -> list[ConsoleLink]:
    """Return the links of the view of the stack."""
    endpoints = config.endpoints
    links = []
    for service, pages in config.links.items():
        for title, path in pages.items():
            if url := endpoints["public"].get(service):
                links.append(
                    ConsoleLink(f"{service}{path}", title, f"{url}{path}", href=f"{url}{path}")
                )
    for name, title in (("postgres", "PostgreSQL"), ("redis", "Redis")):
        url = endpoints[name]
        shown = strip_password(url)
        links.append(ConsoleLink(name, title, shown, secret=shown != url))
    links.append(ConsoleLink("s3", "S3", strip_password(str(endpoints["s3"]))))
    if account := demo_account(config):
        links.append(ConsoleLink("demo", "Demo account", account[0], secret=True))
    links += [
        ConsoleLink("mail", "Caught mail", config.mail_folder or strip_password(endpoints["mail"])),
        ConsoleLink("logs", "Log files", str(config.checkout.logs)),
        ConsoleLink("endpoints", "All URLs", str(config.checkout.endpoints)),
    ]
    return links


def secret_of(config: ConsoleConfig, name: str) -> str | None:
    """Return the complete URL, or the demo account's password, or None for another name."""
    if name in ("postgres", "redis"):
        return str(config.endpoints[name])
    if name == "demo" and (account := demo_account(config)):
        return account[1]
    return None


def demo_account(config: ConsoleConfig) -> tuple[str, str] | None:
    """Return email and password of the demo account, or None while it is not registered."""
    try:
        account: Any = read_json(config.checkout.demo)
    except StackError:
        return None
    if not isinstance(account, dict) or not account.get("registered"):
        return None
    return account["email"], account["password"]
