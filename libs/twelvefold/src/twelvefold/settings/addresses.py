"""Whom we trust and where we connect to, as settings name it: origins, proxies and URLs.

What would fail or be unsafe only once it is used is refused here, in words. Every function raises
ValueError whose text continues the setting's name; none repeats a value that may hold a secret.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
SMTP_SCHEMES = ("smtp", "smtp+starttls", "smtps")
ANY = "*"


def parse_origin(text: str, *, is_deployed: bool) -> str:
    """An origin as browsers send it (RFC 6454 section 6.2): scheme, host and a port that counts."""
    if text == ANY:
        if is_deployed:
            raise ValueError("must name its origins in staging and production: * lets any page in")
        return text
    if text.startswith("["):
        raise ValueError(
            "must be a comma-separated list, not JSON: https://a.example,https://b.example"
        )
    if "://" not in text:
        raise ValueError("must name origins with their scheme: https://app.example.com")
    parts, port = _split(text)
    host = parts.hostname
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ValueError("must name origins such as https://app.example.com")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must name origins: scheme, host and port alone, without a path")
    if not host.isascii():
        raise ValueError("must name hosts as browsers send them: xn--…")
    name = f"[{host}]" if ":" in host else host
    is_default = port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{name}" if is_default else f"{parts.scheme}://{name}:{port}"


def check_proxy(text: str, *, is_deployed: bool) -> str:
    """An address or a network; where we are deployed, not one that holds every address."""
    if text == ANY:
        if is_deployed:
            raise ValueError("must name its proxies in staging and production: * trusts any client")
        return text
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise ValueError("must hold addresses and networks alone, such as 10.0.0.0/8") from None
    if is_deployed and network.prefixlen == 0:
        raise ValueError("must name its proxies: a network of all addresses trusts any client")
    return text


def check_http_url(url: str, *, is_deployed: bool) -> str:
    """An http or https URL; https where we are deployed."""
    parts, _ = _split(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("must be an https:// URL")
    if is_deployed and parts.scheme != "https":
        raise ValueError("must use TLS outside development: https://")
    return url


def check_smtp_url(url: str, *, is_deployed: bool) -> None:
    """A URL of SMTP; where we are deployed, with TLS if it holds credentials."""
    parts, _ = _split(url)
    if parts.scheme not in SMTP_SCHEMES or not parts.hostname:
        raise ValueError("must be an smtp://, smtp+starttls:// or smtps:// URL")
    if is_deployed and parts.scheme == "smtp" and parts.username is not None:
        raise ValueError(
            "must use TLS where it holds credentials: smtp+starttls:// (587) or smtps:// (465)"
        )


def _split(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has no valid host and port") from None
    return parts, port
