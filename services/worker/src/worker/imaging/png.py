"""The chunks of a PNG that its picture is made of (PNG, third edition, sections 5 and 11).

Owns what is left out before the decoder sees a file: text, times and whatever else is not shown
is skipped unread, so that no checksum in it costs the picture and nothing in it is inflated. What
is kept is kept byte for byte; decoding and its bounds are the decoder's.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What libpng takes by default (PNG_USER_CHUNK_MALLOC_MAX): viewers ignore a larger profile, too.
MAX_PROFILE_BYTES = 8_000_000
# Ancillary chunks that change what is seen, with the most bytes that one may have.
_SHOWN = {b"tRNS": 256, b"eXIf": 65_536, b"iCCP": MAX_PROFILE_BYTES}
_END = b"\0\0\0\0IEND\xaeB`\x82"
_HEAD = struct.Struct(">I4s")
_CHECKSUM_BYTES = 4


def extract_picture(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """Return a PNG of the critical chunks, transparency and orientation, and its ICC profile.

    `file` stands behind the signature. An ancillary chunk with a wrong checksum is left out, as
    libpng does; a critical one is passed on as it is. A file that ends after its pixels, without
    the end marker, gets one: whether all rows are there is for the decoder to say.
    """
    picture = io.BytesIO()
    picture.write(SIGNATURE)
    profile = None
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, kind = _HEAD.unpack(head)
        if kind == b"IEND":
            break
        if _is_critical(kind):
            picture.write(head + file.read(length + _CHECKSUM_BYTES))
        elif length > _SHOWN.get(kind, -1):
            file.seek(length + _CHECKSUM_BYTES, io.SEEK_CUR)
        else:
            data, checksum = file.read(length), file.read(_CHECKSUM_BYTES)
            if zlib.crc32(kind + data).to_bytes(4, "big") != checksum:
                continue
            if kind == b"iCCP":
                profile = _inflate_profile(data)
            else:
                picture.write(head + data + checksum)
    picture.write(_END)
    picture.seek(0)
    return picture, profile


def _is_critical(kind: bytes) -> bool:
    return not kind[0] & 0x20


def _inflate_profile(data: bytes) -> bytes | None:
    """The profile of an iCCP chunk; None where it is damaged or larger than a viewer takes."""
    _, _, packed = data.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed[1:], MAX_PROFILE_BYTES)  # behind the method's byte
    except zlib.error:
        return None
    return profile if inflater.eof else None
