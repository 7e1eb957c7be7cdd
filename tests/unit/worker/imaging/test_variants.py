"""Untrusted images: each is cleaned or rejected with a reason, and none affects the worker."""

import io
import struct
import zlib

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

from twelvefold.errors import Rejected
from worker.imaging.variants import ImageLimits, make_variants

LIMITS = ImageLimits()
PLANTED = b"planted-secret-of-the-camera"


def encoded(image: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (1600, 1200)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert(mode)


def with_exif() -> bytes:
    image = picture()
    exif = image.getexif()
    exif[Base.Orientation] = 6
    exif[Base.Make] = PLANTED.decode()
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    return encoded(image, "JPEG", exif=exif)


def with_text() -> bytes:
    info = PngInfo()
    info.add_text("Comment", PLANTED.decode())
    return encoded(picture(), "PNG", pnginfo=info)


def animated() -> bytes:
    frames = [Image.new("RGB", (300, 300), color) for color in ("red", "green", "blue")]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def deep() -> bytes:
    return encoded(Image.new("I;16", (400, 300), 40_000), "PNG")


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """Return a PNG of a few hundred kilobytes that would decode to 400 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(b"\0" * (width // 8 + 1) * height, 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def png_with_text(size: int) -> bytes:
    info = PngInfo()
    info.add_text("Comment", "x" * size, zip=True)
    return encoded(picture(size=(8, 8)), "PNG", pnginfo=info)


@pytest.fixture
def made(tmp_path):
    async def make(content: bytes, limits: ImageLimits = LIMITS):
        source = tmp_path / "source"
        source.write_bytes(content)
        return await make_variants(source, tmp_path, limits)

    return make


ACCEPTED = {
    "a jpeg with exif": with_exif,
    "a png with text": with_text,
    "an animated webp": animated,
    "16 bits a sample": deep,
    "cmyk": lambda: encoded(picture("CMYK"), "JPEG"),
    "a palette with transparency": lambda: encoded(picture("P"), "PNG", transparency=0),
    "grey with alpha": lambda: encoded(picture("LA"), "PNG"),
    "one bit": lambda: encoded(picture("1"), "PNG"),
    "one pixel": lambda: encoded(picture(size=(1, 1)), "PNG"),
    "a very wide one": lambda: encoded(picture(size=(8000, 3)), "PNG"),
    "a png with a text of 70 MB": lambda: png_with_text(70_000_000),
    "a polyglot": lambda: encoded(picture(), "JPEG") + b"<script>" + PLANTED,
}
REJECTED = {
    "nothing": lambda: b"",
    "html named as an image": lambda: b"<html><body>hello</body></html>",
    "a gif": lambda: encoded(picture("P"), "GIF"),
    "a truncated jpeg": lambda: encoded(picture(), "JPEG")[:900],
    "a truncated png": lambda: encoded(picture(), "PNG")[:2000],
    "a bomb": bomb,
    "only a header": lambda: b"\xff\xd8\xff\xe0",
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_an_image_becomes_three_clean_webp_variants(made, name):
    variants = await made(ACCEPTED[name]())
    assert {variant.name for variant in variants} == {"128", "512", "1024"}
    for variant in variants:
        content = variant.path.read_bytes()
        image = Image.open(io.BytesIO(content), formats=("WEBP",))
        image.load()
        assert image.size == (variant.width, variant.height)
        assert max(image.size) <= int(variant.name)
        assert len(content) == variant.size
        assert not image.getexif()
        assert not {"exif", "xmp", "icc_profile"} & image.info.keys()
        assert PLANTED not in content


@pytest.mark.parametrize("name", REJECTED)
async def test_an_invalid_image_is_rejected_with_a_reason(made, name):
    with pytest.raises(Rejected) as rejected:
        await made(REJECTED[name]())
    assert rejected.value.detail


async def test_the_orientation_is_applied(made):
    variants = await made(with_exif())
    assert all(variant.height > variant.width for variant in variants)


async def test_16_bit_samples_keep_their_brightness(made):
    variants = await made(deep())
    shades = set(Image.open(variants[0].path).convert("L").tobytes())
    assert all(abs(shade - 40_000 // 256) <= 3 for shade in shades)


async def test_an_image_that_needs_too_much_memory_is_rejected(made):
    tight = ImageLimits(memory=200 * 1024 * 1024)
    with pytest.raises(Rejected, match="memory"):
        await made(encoded(picture(size=(5000, 4900)), "PNG", compress_level=1), tight)
