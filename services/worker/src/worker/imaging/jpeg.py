"""Check whether a JPEG without its end marker contains the whole picture (ITU-T T.81).

libjpeg fills rows that have no data, and reports that in warnings which Pillow does not pass on.
Decoding with different fillings shows whether any pixel was filled.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

END = b"\xff\xd9"
# Entropy-coded data for missing pixels; longer than libjpeg reads ahead.
_PATTERNS = (b"\x55" * 256, b"\xc6\x3a\x91" * 96)
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_RST0 = 0xD0
_FILL = 0xFF  # may precede any marker
_STANDALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD9), _FILL})  # no marker, or one without length
_COEFFICIENTS = 64


def complete(content: bytes) -> Iterator[bytes]:
    """Yield `content` with its end marker, then with each filling in front of the marker.

    All of them decode to the same picture only if no pixel is missing.
    """
    content = content.rstrip(b"\xff")  # half of an end marker
    yield content + END
    # If the next restart interval is missing, libjpeg reads bits only after its marker.
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
    """Return whether the scans contain every bit of every coefficient of every component.

    True for a sequential JPEG: its missing scans are missing components, which fail to decode.
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
    """Yield each marker with a length, and its body. Skips the entropy-coded data between them."""
    offset = 2
    while (offset := content.find(b"\xff", offset)) >= 0 and offset + 4 <= len(content):
        marker = content[offset + 1]
        if marker in _STANDALONE:
            offset += 1 if marker == _FILL else 2
            continue
        (length,) = struct.unpack_from(">H", content, offset + 2)
        yield marker, content[offset + 4 : offset + 2 + length]
        offset += 2 + max(length, 2)
