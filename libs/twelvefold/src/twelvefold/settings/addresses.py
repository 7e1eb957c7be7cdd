"""Checks of origins, proxies and URLs in settings.

They refuse at the start what would fail or be unsafe in use. Every function raises ValueError with
a text that continues the setting's name and never repeats a value, which may hold a secret.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
SMTP_SCHEMES = ("smtp", "smtp+starttls", "smtps")
ANY = "*"


def parse_origin(text: str, *, is_deployed: bool) -> str:
    """Return an origin as browsers send it (RFC 6454 section 6.2), without a default port."""
    if text == ANY:
        if is_deployed:
            raise ValueError("must list origins in staging and production: * admits every page")
        return text
    if text.startswith("["):
        raise ValueError(
            "must be a comma-separated list, not JSON: https://a.example,https://b.example"
        )
    if "://" not in text:
        raise ValueError("must list origins with their scheme: https://app.example.com")
    parts, port = _split(text)
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("must list origins such as https://app.example.com")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must list origins: scheme, host and port, without a path")
    if not host.isascii():
        raise ValueError("must encode host names as browsers do: xn--…")
    name = f"[{host}]" if ":" in host else host
    is_default = port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{name}" if is_default else f"{parts.scheme}://{name}:{port}"


def check_proxy(text: str, *, is_deployed: bool) -> str:
    """Return an address or a network; if deployed, refuse a network of all addresses."""
    if text == ANY:
        if is_deployed:
            raise ValueError("must list proxies in staging and production: * trusts any client")
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must be a list of addresses and networks, such as 10.0.0.0/8") from None
    if is_deployed and network.prefixlen == 0:
        raise ValueError("must list proxies: a network of all addresses trusts any client")
    return text


def check_http_url(url: str, *, is_deployed: bool) -> str:
    """Return an http or https URL; if deployed, require https."""
    parts, _ = _split(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be an https:// URL")
    if is_deployed and parts.scheme != "https":
        raise ValueError("must use TLS outside development: https://")
    return url


def check_smtp_url(url: str, *, is_deployed: bool) -> None:
    """Check an SMTP URL; if deployed, require TLS where it holds credentials."""
    parts, _ = _split(url)
    if parts.scheme not in SMTP_SCHEMES or not parts.hostname:
        raise ValueError("must be an smtp://, smtp+starttls:// or smtps:// URL")
    if is_deployed and parts.scheme == "smtp" and parts.username is not None:
        raise ValueError(
            "must use TLS if it has credentials: smtp+starttls:// (587) or smtps:// (465)"
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has no valid host and port") from None
    return parts, port
