"""Whom a request without an account counts for: one key for every spelling of a client's address.

Owns that key, and nothing else makes one: the edge's rate limits, the throttle of logins and every
other count by address call `client_key`, so that nobody gains a quota by going to another counter.
Which peer is the client is the server's to say (HTTP_TRUSTED_PROXIES).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

UNKNOWN = "unknown"  # no address, or none that can be read: they count together
_SITE_BITS = 64  # of an IPv6 address: what one subscriber has whole (RFC 6177, RFC 4291)
_NAT64 = IPv6Network("64:ff9b::/96")  # an IPv4 client behind a translator (RFC 6052 section 2.1)


def client_key(address: str | None) -> str:
    """The IPv4 address, or of IPv6 its /64, in the canonical spelling (RFC 5952).

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is that IPv4 address: a 6to4 site has
    65,536 /64s, and everybody behind a translator would share one. A key is its own key.
    """
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address or "")
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if (inner := _inner_ipv4(parsed)) is not None:
        return str(inner)
    return str(IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS))


def _inner_ipv4(address: IPv6Address) -> IPv4Address | None:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
