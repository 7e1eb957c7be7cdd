"""The key by which requests of one client address are counted.

Owns that key for all counts by address (the edge's rate limits, the throttle of logins), so that
no spelling of an address and no choice of counter gains a client a further quota. The server
decides which peer is the client (HTTP_TRUSTED_PROXIES).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNKNOWN = "unknown"  # key of all clients without a valid address
_SITE_BITS = 64  # of an IPv6 address: one subscriber has a whole /64 (RFC 6177, RFC 4291)
_NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 client behind a translator (RFC 6052 section 2.1)


def client_key(address: str | None) -> str:
    """Return the IPv4 address, or the /64 of an IPv6 address, in canonical form (RFC 5952).

    An IPv4 address inside an IPv6 address (mapped, 6to4, NAT64) counts as that IPv4 address: a 6to4
    site has 65,536 /64s, and all clients behind a translator would share one. The function is
    idempotent.
    """
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if (embedded := _extract_ipv4(parsed)) is not None:
        return str(embedded)
    return str(IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS))


def _extract_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
