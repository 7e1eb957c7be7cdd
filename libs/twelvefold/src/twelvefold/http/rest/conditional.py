"""Conditional requests (RFC 9110 section 13) on strong ETags made from a row's version.

Several lines of one header are one list (section 5.3); `header_fields` joins them beforehand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from twelvefold.errors import PreconditionFailed, PreconditionRequired

# One member of a list, and the empty ones before it (section 5.6.1). What is no entity tag
# (section 8.8.3) ends the list: a quote more or less would turn what follows inside out.
_MEMBER = re.compile(r'[ \t,]*(W/)?"([^"]*)"[ \t]*(?=,|$)')
# Tags are compared character by character (section 8.8.3.2), so a version has one spelling.
_VERSION = re.compile(r"v(0|[1-9][0-9]{0,17})")


def etag(version: int) -> str:
    """The strong ETag of a row's version: `"v3"`."""
    return f'"v{version}"'


def _versions(header: str) -> Iterator[tuple[bool, int]]:
    """Each version that the header names, and whether by a weak tag; tags of others are skipped."""
    at = 0
    while member := _MEMBER.match(header, at):
        if found := _VERSION.fullmatch(member[2]):
            yield member[1] is not None, int(found[1])
        at = member.end()


def is_not_modified(if_none_match: str | None, version: int) -> bool:
    """Whether If-None-Match names `version`: then a GET answers 304 (weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(named == version for _, named in _versions(if_none_match))


def parse_if_match(header: str | None) -> frozenset[int] | None:
    """Return the versions that If-Match takes; None for `*`, which asks only that it exists.

    Raises PreconditionRequired without the header, PreconditionFailed where no tag in it can be
    a version of ours (strong comparison: a weak tag never matches, RFC 9110 section 13.1.1).
    """
    if header is None:
        raise PreconditionRequired("Send If-Match with the ETag that the change is based on.")
    if header.strip() == "*":
        return None
    strong = frozenset(version for is_weak, version in _versions(header) if not is_weak)
    if not strong:
        raise PreconditionFailed("If-Match names no version of this resource.")
    return strong


def format_if_match(versions: Collection[int] | None) -> str:
    """Return the header that `parse_if_match` reads as `versions`."""
    return "*" if versions is None else ", ".join(etag(version) for version in sorted(versions))
