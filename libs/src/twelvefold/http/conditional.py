"""Conditional requests (RFC 9110 section 13) on strong ETags made from a row's version."""

from __future__ import annotations

import re

from twelvefold.errors import PreconditionFailed, PreconditionRequired

_TAG = re.compile(r'(W/)?"([^"]*)"')
_OURS = re.compile(r"v(\d{1,18})")


def etag(version: int) -> str:
    """The strong ETag of a row's version: `"v3"`."""
    return f'"v{version}"'


def _versions(header: str) -> list[tuple[bool, int | None]]:
    """Each tag of the header: whether it is weak, and its version (None: not a tag of ours)."""
    found = []
    for weak, tag in _TAG.findall(header):
        ours = _OURS.fullmatch(tag)
        found.append((bool(weak), int(ours[1]) if ours else None))
    return found


def matches(if_none_match: str | None, version: int) -> bool:
    """Whether If-None-Match names `version`: then a GET answers 304 (weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag == version for _, tag in _versions(if_none_match))


def required_version(if_match: str | None) -> int | None:
    """The version that If-Match asks for; None for `*`, which asks only that it exists.

    Raises PreconditionRequired without the header, PreconditionFailed where no tag in it can be
    a version of ours (strong comparison: a weak tag never matches, RFC 9110 section 13.1.1).
    """
    if if_match is None:
        raise PreconditionRequired("Send If-Match with the ETag that the change is based on.")
    if if_match.strip() == "*":
        return None
    strong = [tag for weak, tag in _versions(if_match) if not weak and tag is not None]
    if not strong:
        raise PreconditionFailed("If-Match names no version of this resource.")
    # A list would mean "any of these"; the newest is the only one that can still be current.
    return max(strong)
