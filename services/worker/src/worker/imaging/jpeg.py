"""Whether a JPEG that lacks its end marker holds its whole picture (ITU-T T.81).

Owns the search for what is missing. libjpeg fills rows that it has no data for, and says so in
warnings that Pillow does not pass on; so each way of filling is tried, and what is filled shows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

END = b"\xff\xd9"
# Bits that libjpeg takes for pixels where some are missing; longer than it reads ahead.
_PATTERNS = (b"\x55" * 256, b"\xc6\x3a\x91" * 96)
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_RST0 = 0xD0
_FILL = 0xFF  # may stand in front of any marker
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9), _FILL})  # no marker, or one without length
_COEFFICIENTS = 64


def complete(content: bytes) -> Iterator[bytes]:
    """Yield `content` with its end marker, then with each filling in front of the marker.

    All of them show the same picture only where no pixel is missing.
    """
    content = content.rstrip(b"\xff")  # the half of the marker that it was cut in
    yield content + END
    # Where the next restart interval is missing, bits are read only behind its marker.
    restart = bytes((0xFF, _next_restart(content)))
    for pattern in _PATTERNS:
        yield content + pattern + restart + pattern + END


def _next_restart(content: bytes) -> int:
    """Return the restart marker (0xD0 to 0xD7) that follows the last one of `content`."""
    last = max(range(_RST0, _RST0 + 8), key=lambda marker: content.rfind(bytes((0xFF, marker))))
    if content.rfind(bytes((0xFF, last))) < content.rfind(bytes((0xFF, _SCAN))):
        return _RST0
    return _RST0 + (last - _RST0 + 1) % 8


def has_all_scans(content: bytes) -> bool:
    """Return whether the scans bring every coefficient of every component to its last bit.

    True for a sequential JPEG, whose missing scans are missing components, and decode as errors.
    """
    components: list[int] = []
    bits: dict[tuple[int, int], int] = {}  # by component and coefficient: bits still to come
    for marker, body in _segments(content):
        if marker in _FRAMES:
            if marker not in _PROGRESSIVE:
                return True
            components = list(body[6::3][: body[5]])
        elif marker == _SCAN and body and len(body) >= 1 + 2 * body[0] + 3:
            selected = body[1 : 1 + 2 * body[0] : 2]
            first, last, precision = body[1 + 2 * body[0] :][:3]
            for component in selected:
                for coefficient in range(first, min(last + 1, _COEFFICIENTS)):
                    bits[component, coefficient] = precision & 0x0F
    return bool(components) and all(
        bits.get((component, coefficient)) == 0
        for component in components
        for coefficient in range(_COEFFICIENTS)
    )


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each marker with a length, and its body; the entropy-coded data between them is skipped."""
    at = 2
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in _STANDALONE:
            at += 1 if marker == _FILL else 2
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        yield marker, content[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
