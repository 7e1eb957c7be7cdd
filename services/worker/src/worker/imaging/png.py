"""Extract the chunks of a PNG that affect its picture (PNG, third edition, sections 5 and 11).

Other chunks, such as text and times, are skipped unread: a wrong checksum in them does not reject
the picture, and nothing in them is inflated. The kept chunks are unchanged; decoding and its
limits are `decoder`'s.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The default of libpng (PNG_USER_CHUNK_MALLOC_MAX): viewers ignore a larger profile, too.
MAX_PROFILE_BYTES = 8_000_000
# Ancillary chunks that affect the picture, each with its maximum size in bytes.
_MAX_VISIBLE_CHUNK_BYTES = {b"tRNS": 256, b"eXIf": 65_536, b"iCCP": MAX_PROFILE_BYTES}
_END = b"\0\0\0\0IEND\xaeB`\x82"
_HEAD = struct.Struct(">I4s")
_CHECKSUM_BYTES = 4


def extract_picture(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """Return a PNG of the critical chunks, transparency and orientation, and its ICC profile.

    `file` is positioned after the signature. An ancillary chunk with a wrong checksum is left out,
    as libpng does; a critical one is passed on unchanged. A file without the end marker gets one:
    the decoder checks whether all rows exist.
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
        elif length > _MAX_VISIBLE_CHUNK_BYTES.get(kind, -1):
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
    """Return the profile of an iCCP chunk, or None if it is damaged or too large for viewers."""
    _, _, packed = data.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(packed[1:], MAX_PROFILE_BYTES)  # after the byte of the method
    except zlib.error:
        return None
    return profile if inflater.eof else None
