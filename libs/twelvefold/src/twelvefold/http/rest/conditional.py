"""Conditional requests (RFC 9110 section 13) with strong ETags made from a row's version.

Several lines of one header are one list (section 5.3); `header_fields` joins them before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from twelvefold.errors import PreconditionFailed, PreconditionRequired

# One member of a list, and the empty ones before it (section 5.6.1). Anything but an entity tag
# (section 8.8.3) ends the list, since a missing quote would swap tags and separators.
_MEMBER = re.compile(r'[ \t,]*(W/)?"([^"]*)"[ \t]*(?=,|$)')
# Tags are compared character by character (section 8.8.3.2), so each version has one spelling.
_VERSION = re.compile(r"v(0|[1-9][0-9]{0,17})")


def etag(version: int) -> str:
    """Return the strong ETag of a row's version, e.g. `"v3"`."""
    return f'"v{version}"'


def _parse_tags(header: str) -> Iterator[tuple[bool, str]]:
    """Yield whether a tag of the list is weak, and the text between its quotes."""
    position = 0
    while member := _MEMBER.match(header, position):
        yield member[1] is not None, member[2]
        position = member.end()


def is_not_modified(if_none_match: str | None, current: str) -> bool:
    """Return whether If-None-Match names the ETag `current`, so that a GET is a 304.

    The comparison is weak (RFC 9110 section 13.1.2).
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(f'"{opaque}"' == current for _, opaque in _parse_tags(if_none_match))


def parse_if_match(header: str | None) -> frozenset[int] | None:
    """Return the versions in If-Match; None for `*`, which any existing version matches.

    Raises PreconditionRequired without the header, PreconditionFailed where no tag in it has the
    form of a version (strong comparison: a weak tag never matches, RFC 9110 section 13.1.1).
    """
    if header is None:
        raise PreconditionRequired("Send If-Match with the ETag that the change is based on.")
    if header.strip() == "*":
        return None
    strong = frozenset(
        int(version[1])
        for is_weak, opaque in _parse_tags(header)
        if not is_weak and (version := _VERSION.fullmatch(opaque))
    )
    if not strong:
        raise PreconditionFailed("If-Match names no version of this resource.")
    return strong


def format_if_match(versions: Collection[int] | None) -> str:
    """Return the header that `parse_if_match` parses into `versions`."""
    return "*" if versions is None else ", ".join(etag(version) for version in sorted(versions))
