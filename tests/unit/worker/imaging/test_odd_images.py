"""Images with invisible faults: accepted if the whole picture exists, otherwise rejected."""

import io
import os
import struct
import zlib

import pytest
from PIL import Image, ImageCms, ImageFile

from twelvefold.errors import Rejected
from worker.imaging import decoder, jpeg, png
from worker.imaging.variants import ImageLimits, make_variants

PLANTED = b"planted-secret-of-the-camera"
MEGABYTE = 1_048_576


def encoded(image: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (320, 240)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert(mode)


def chunk(kind: bytes, data: bytes, *, checksum: int | None = None) -> bytes:
    value = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", value)


PNG = encoded(picture(), "PNG")
PIXELS = PNG.index(b"IDAT") - 4
END = PNG.index(b"IEND") - 4
JPEG = encoded(picture(), "JPEG")


def png_with(*chunks: bytes, whole: bytes = PNG) -> bytes:
    at = whole.index(b"IDAT") - 4
    return whole[:at] + b"".join(chunks) + whole[at:]


def swapped_profile(size: int) -> bytes:
    """A profile in which red is blue, of `size` bytes."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"?", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"?", b"bXYZ")
    return struct.pack(">I", size) + profile[4:] + os.urandom(size - len(profile))


def profile_chunk(profile: bytes, **options) -> bytes:
    return chunk(b"iCCP", b"screen\0\0" + zlib.compress(profile), **options)


@pytest.fixture
def made(tmp_path):
    async def make(content: bytes):
        source = tmp_path / "source"
        source.write_bytes(content)
        variants = await make_variants(source, tmp_path, ImageLimits())
        return [variant.path.read_bytes() for variant in variants]

    return make


TEXT = zlib.compress(PLANTED + b" " * 3 * MEGABYTE)
WRONG = 1
SOUND_PNGS = {
    "a compressed text over 1 MiB": png_with(chunk(b"zTXt", b"Comment\0\0" + TEXT)),
    "a compressed text in UTF-8": png_with(chunk(b"iTXt", b"Comment\0\1\0\0\0" + TEXT)),
    "a text over 1 MiB": png_with(chunk(b"tEXt", b"Comment\0" + PLANTED * MEGABYTE)),
    "a text that does not unpack": png_with(chunk(b"zTXt", b"Comment\0\0" + b"none")),
    "a profile too large for viewers": png_with(profile_chunk(bytes(200 * MEGABYTE))),
    "a profile that does not unpack": png_with(chunk(b"iCCP", b"screen\0\0" + b"none")),
    **{
        f"{kind.decode()} with a wrong checksum": png_with(chunk(kind, data, checksum=WRONG))
        for kind, data in (
            (b"tEXt", b"Comment\0" + PLANTED),
            (b"gAMA", struct.pack(">I", 45_455)),
            (b"pHYs", bytes(9)),
            (b"tIME", bytes(7)),
            (b"eXIf", PLANTED),
            (b"tRNS", bytes(6)),
            (b"prVt", PLANTED),
        )
    },
    "a profile with a wrong checksum": png_with(
        profile_chunk(swapped_profile(10_000), checksum=WRONG)
    ),
    "a text with a wrong checksum behind the pixels": (
        PNG[:END] + chunk(b"tEXt", b"Comment\0" + PLANTED, checksum=WRONG) + PNG[END:]
    ),
    "chunks of a length that they may not have": png_with(
        chunk(b"pHYs", b""), chunk(b"tIME", b""), chunk(b"cHRM", b"\0"), chunk(b"sRGB", b"")
    ),
    "no end marker": PNG[:END],
    "half of an end marker": PNG[: END + 5],
    "half of a text behind the pixels": PNG[:END] + chunk(b"tEXt", PLANTED)[:15],
}


@pytest.mark.parametrize("name", SOUND_PNGS)
async def test_a_png_with_a_fault_in_an_invisible_chunk_gives_the_same_picture(made, name):
    variants = await made(SOUND_PNGS[name])
    assert variants == await made(PNG)
    assert all(PLANTED not in content for content in variants)


@pytest.mark.parametrize("size", [10_000, 2 * MEGABYTE])
async def test_a_profile_of_any_size_that_viewers_accept_is_applied(made, size):
    source = encoded(Image.new("RGB", (64, 64), (250, 10, 10)), "PNG")
    variants = await made(png_with(profile_chunk(swapped_profile(size)), whole=source))
    red, _, blue = Image.open(io.BytesIO(variants[0])).convert("RGB").resize((1, 1)).tobytes()
    assert red < 100
    assert blue > 200


JPEGS = {
    "of one scan": JPEG,
    "in grey": encoded(picture("L"), "JPEG"),
    "in cmyk": encoded(picture("CMYK"), "JPEG"),
    "with tables of its own": encoded(picture(), "JPEG", optimize=True),
    "without subsampling": encoded(picture(), "JPEG", quality=98, subsampling=0),
    "with restart markers": encoded(picture(), "JPEG", restart_marker_blocks=3),
    "of many scans": encoded(picture(), "JPEG", progressive=True),
    "larger than any variant": encoded(picture(size=(4500, 3000)), "JPEG"),
}


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("name", JPEGS)
async def test_a_jpeg_without_its_end_marker_gives_the_same_picture(made, name, left):
    whole = JPEGS[name]
    assert await made(whole[: len(whole) - 2 + left]) == await made(whole)


@pytest.mark.parametrize("name", [name for name in JPEGS if name != "larger than any variant"])
def test_a_jpeg_cut_anywhere_is_rejected_or_shows_the_whole_picture(tmp_path, name):
    whole = JPEGS[name]
    source = tmp_path / "source"
    source.write_bytes(whole)
    pixels = decoder.open_image(source, 10**6).tobytes()
    taken = []
    for cut in [*range(1, 40), *range(40, len(whole) - 1, len(whole) // 40)]:
        source.write_bytes(whole[:-cut])
        try:
            shown = decoder.open_image(source, 10**6)
        except decoder.ImageRejected:
            continue
        taken.append(cut)
        assert shown.tobytes() == pixels, f"{cut} bytes are missing, and the picture shows it"
    assert {1, 2} <= set(taken)
    assert max(taken) < 40


def test_a_jpeg_cut_between_its_scans_is_rejected(tmp_path):
    """All rows exist, but the scans with their last bits are missing."""
    whole = JPEGS["of many scans"]
    source = tmp_path / "source"
    starts = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(starts) == 10
    for start in starts[1:]:
        end = whole.rindex(b"\xff\xc4", 0, start)  # the tables that belong to the scan
        for cut in {start, end}:
            assert not jpeg.has_all_scans(whole[:cut])
            source.write_bytes(whole[:cut])
            with pytest.raises(decoder.ImageRejected, match="truncated"):
                decoder.open_image(source, 10**6)


TRUNCATED = "is truncated: a part of the picture is missing"
FAULTY = {
    "a jpeg without its last rows": (JPEG[: len(JPEG) * 9 // 10], TRUNCATED),
    "a png without its last rows": (PNG[:PIXELS] + PNG[PIXELS : END - 300], TRUNCATED),
    "a png of rows that end early": (
        PNG[:PIXELS] + chunk(b"IDAT", PNG[PIXELS + 8 : END - 300]) + PNG[END:],
        TRUNCATED,
    ),
    "a palette with a wrong checksum": (
        png_with(
            chunk(b"PLTE", bytes(768), checksum=WRONG),
            whole=encoded(Image.new("L", (8, 8)), "PNG"),
        ),
        "is damaged: it cannot be decoded",
    ),
    "a png of pixels that do not unpack": (
        PNG[:PIXELS] + chunk(b"IDAT", b"none" * 100) + PNG[END:],
        "is damaged: it cannot be decoded",
    ),
    "a webp of nothing": (
        b"RIFF\x10\0\0\0WEBPVP8 \4\0\0\0none",
        "is damaged: it cannot be decoded",
    ),
    "a text": (b"hello", "is not a JPEG, PNG or WebP image"),
}


@pytest.mark.parametrize("name", FAULTY)
async def test_an_incomplete_picture_is_rejected_with_the_true_reason(made, name):
    content, reason = FAULTY[name]
    with pytest.raises(Rejected) as rejected:
        await made(content)
    assert rejected.value.detail == reason


def test_pillow_rejects_truncated_images():
    """The switch affects the process: truncated pictures would pass with grey rows."""
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_bomb_in_an_invisible_chunk_is_not_inflated(monkeypatch):
    inflated: list[int] = []

    class Inflater:
        def __init__(self):
            self._real = real()

        def decompress(self, data: bytes, max_length: int) -> bytes:
            content = self._real.decompress(data, max_length)
            inflated.append(len(content))
            return content

        @property
        def eof(self) -> bool:
            return self._real.eof

    real = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Inflater)
    bomb = zlib.compress(bytes(50 * MEGABYTE))
    content = png_with(chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb))
    _, profile = png.extract_picture(io.BytesIO(content[8:]))
    assert profile is None
    assert inflated == [png.MAX_PROFILE_BYTES]
