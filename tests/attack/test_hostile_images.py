"""Strangers' images, through the real decoder child and through the running worker.

Every file is made here. Each is cleaned or refused with a reason; of what is planted in metadata
nothing is kept; the child's memory is bounded; no worker is lost.
"""

import asyncio
import io
import resource
import struct
import zlib
from collections.abc import Callable
from functools import partial

import httpx
import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.PngImagePlugin import PngInfo

from twelvefold.errors import Rejected
from worker.imaging.variants import ImageLimits, make_variants

pytestmark = pytest.mark.timeout(900)
PLANTED = b"planted-secret-of-the-camera"
LIMITS = ImageLimits()
ENDED = {"ready", "rejected"}
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def picture(mode: str = "RGB", size: tuple[int, int] = (800, 600)) -> Image.Image:
    return Image.radial_gradient("L").resize(size).convert(mode)


def exif_of_a_camera(size: int = 0) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif[Base.Make] = PLANTED.decode()
    exif[Base.ImageDescription] = PLANTED.decode() + "x" * size
    gps = exif.get_ifd(IFD.GPSInfo)
    gps[GPS.GPSLatitudeRef], gps[GPS.GPSLatitude] = "N", (48.0, 8.0, 1.0)
    gps[GPS.GPSDateStamp] = PLANTED.decode()
    return exif


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    found = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def png(width: int, height: int, rows: bytes | None = None, *, extra: bytes = b"", bits=(1, 0)):
    """A PNG by hand: of any stated size, with any chunks."""
    header = struct.pack(">IIBBBBB", width, height, *bits, 0, 0, 0)
    if rows is None:
        rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height, 9)
    parts = (chunk(b"IHDR", header), extra, chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return PNG + b"".join(parts)


def compressed(kind: bytes, size: int) -> bytes:
    """A text or profile chunk that unpacks to `size` bytes."""
    return chunk(kind, b"name\0\0" + zlib.compress(PLANTED + b"\0" * size, 9))


def with_text() -> bytes:
    info = PngInfo()
    info.add_text("Comment", PLANTED.decode())
    info.add_itxt("XML:com.adobe.xmp", f"<x>{PLANTED.decode()}</x>")
    info.add_text("Raw profile type exif", PLANTED.decode(), zip=True)
    return encoded(picture(), "PNG", pnginfo=info)


def frames(form: str, count: int = 3) -> bytes:
    made = [picture(size=(200, 200)).rotate(9 * number) for number in range(count)]
    return encoded(made[0], form, save_all=True, append_images=made[1:])


def jpeg_of_many_scans(scans: int = 400) -> bytes:
    """The scans of a progressive JPEG again and again: each costs a pass over all coefficients."""
    content = encoded(picture(size=(1500, 1500)), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * scans + b"\xff\xd9"


def jpeg_of_size(width: int, height: int) -> bytes:
    """The frame header says so; there are no pixels for it."""
    content = bytearray(encoded(picture(size=(64, 64)), "JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def riff(kind: bytes, size: int, body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", size) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


JPEG = encoded(picture(), "JPEG", exif=exif_of_a_camera(), comment=PLANTED)
PLAIN_PNG = encoded(picture(), "PNG", compress_level=1)
WEBP = encoded(picture(), "WEBP", exif=exif_of_a_camera(), xmp=PLANTED, icc_profile=PLANTED)
CLEANED: dict[str, Callable[[], bytes]] = {
    "gps and camera in a jpeg": lambda: JPEG,
    "gps in a png": lambda: encoded(picture(), "PNG", exif=exif_of_a_camera()),
    "metadata in an extended webp": lambda: WEBP,
    "xmp in a jpeg": lambda: encoded(picture(), "JPEG", xmp=b"<x>" + PLANTED + b"</x>"),
    "a profile that is none": lambda: encoded(picture(), "JPEG", icc_profile=PLANTED * 100),
    "a profile of many segments": lambda: encoded(
        picture(), "JPEG", icc_profile=PLANTED + b"\0" * 3_000_000
    ),
    "text in a png": with_text,
    "exif as large as it can be": lambda: encoded(picture(), "JPEG", exif=exif_of_a_camera(60_000)),
    "every orientation at once": lambda: JPEG.replace(b"\x12\x01\x03\x00", b"\x12\x01\x04\x00"),
    "cmyk": lambda: encoded(picture("CMYK"), "JPEG"),
    "16 bits a sample": lambda: encoded(Image.new("I;16", (400, 300), 40_000), "PNG"),
    "a palette with transparency": lambda: encoded(picture("P"), "PNG", transparency=0),
    "grey with alpha": lambda: encoded(picture("LA"), "PNG"),
    "one bit": lambda: encoded(picture("1"), "PNG"),
    "one pixel": lambda: encoded(picture(size=(1, 1)), "PNG"),
    "very wide": lambda: encoded(picture(size=(9000, 2)), "PNG"),
    "very high": lambda: encoded(picture(size=(2, 9000)), "JPEG"),
    "an animated webp": lambda: frames("WEBP"),
    "an animated png": lambda: frames("PNG"),
    "an animated webp of many frames": lambda: frames("WEBP", 120),
    "a lossless webp with alpha": lambda: encoded(picture("RGBA"), "WEBP", lossless=True),
    "a progressive jpeg": lambda: encoded(picture(), "JPEG", progressive=True),
    "html behind a jpeg": lambda: JPEG + b"<script>" + PLANTED + b"</script>",
    "a zip behind a png": lambda: PLAIN_PNG + b"PK\x03\x04" + PLANTED,
    "a png behind a jpeg": lambda: JPEG + PLAIN_PNG + PLANTED,
    "php in a comment": lambda: encoded(picture(), "JPEG", comment=b"<?php " + PLANTED),
    "an unknown chunk": lambda: png(64, 64, extra=chunk(b"teXt", PLANTED)),
    "a jpeg without an end": lambda: JPEG[:-2],
    "a chunk with a wrong sum": lambda: png(64, 64, extra=chunk(b"tEXt", b"a\0" + PLANTED, crc=1)),
    "a text that unpacks to 200 MB": lambda: png(64, 64, extra=compressed(b"zTXt", 200_000_000)),
    "a profile that unpacks to 200 MB": lambda: png(64, 64, extra=compressed(b"iCCP", 200_000_000)),
    "500 texts of a megabyte": lambda: png(64, 64, extra=compressed(b"zTXt", 1_000_000) * 500),
}
# Whatever a decoder makes of these: cleaned or refused, both are right.
EITHER: dict[str, Callable[[], bytes]] = {
    "a jpeg of many scans": jpeg_of_many_scans,
    "an image of no rows": lambda: png(64, 64, zlib.compress(b"")),
    "more rows than stated": lambda: png(8, 8, zlib.compress(b"\0\0" * 100_000)),
    "the second half of a jpeg": lambda: JPEG[:700] + JPEG[len(JPEG) // 2 :],
    "a jpeg full of zeros": lambda: JPEG[:1500] + bytes(len(JPEG) - 1500),
    **{
        f"a jpeg with bytes turned at {at} %": partial(
            lambda at: bytes(
                byte ^ 0x5A if number % 97 == at else byte for number, byte in enumerate(JPEG)
            ),
            at,
        )
        for at in (3, 41, 89)
    },
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "zeros": lambda: bytes(10_000),
    "html": lambda: b"<html><body onload=alert(1)>",
    "svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "an executable": lambda: b"\x7fELF" + bytes(1000),
    "a gif": lambda: encoded(picture("P"), "GIF"),
    "a tiff": lambda: encoded(picture(), "TIFF"),
    "a bmp": lambda: encoded(picture(), "BMP"),
    "a targa": lambda: encoded(picture(), "TGA"),
    "postscript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(id) system\n",
    "the start of a jpeg": lambda: b"\xff\xd8\xff\xe0",
    "the start of a png": lambda: PNG,
    "a bomb of 400 megapixels": lambda: png(20_000, 20_000),
    "a bomb just above the limit": lambda: png(5001, 5000),
    "as large as a png can say": lambda: png(2**31 - 1, 2**31 - 1, b""),
    "as large as a jpeg can say": lambda: jpeg_of_size(65_500, 65_500),
    "a wide bomb": lambda: png(2**31 - 1, 1, b""),
    "a png of no width": lambda: png(0, 10, b""),
    "a png of an unknown kind": lambda: png(8, 8, bits=(7, 5)),
    "a chunk longer than the file": lambda: PNG + struct.pack(">I", 2**31 - 1) + b"IHDR",
    "a webp that says more than there is": lambda: riff(b"VP8 ", 2**32 - 1, bytes(20)),
    "a webp without pixels": lambda: riff(b"VP8X", 30, b"\x3f" + bytes(3) + b"\xff" * 6),
    "a webp of a lossless nothing": lambda: riff(b"VP8L", 30, b"\x2f" + b"\xff" * 16),
    **{
        f"{name} cut off at {per_cent} %": partial(
            lambda whole, per_cent: whole[: len(whole) * per_cent // 100], whole, per_cent
        )
        for name, whole in (("a png", PLAIN_PNG), ("a webp", WEBP), ("a jpeg", JPEG))
        for per_cent in (1, 10, 50, 90)
    },
}
CORPUS = {**CLEANED, **EITHER, **REFUSED}


def bytes_kept(content: bytes) -> list[str]:
    """Return the metadata that an image still has."""
    image = Image.open(io.BytesIO(content), formats=("WEBP",))
    image.load()
    kept = [name for name in ("exif", "xmp", "icc_profile") if image.info.get(name)]
    return kept + [
        kind.decode() for kind in (b"EXIF", b"XMP ", b"ICCP", PLANTED) if kind in content
    ]


async def test_every_hostile_image_is_cleaned_or_refused_with_a_reason(tmp_path, figure, at_once):
    assert len(CORPUS) >= 60
    kept: list[str] = []

    async def tried(name: str, number: int) -> str:
        source = tmp_path / f"{number}.png"
        source.write_bytes(CORPUS[name]())
        directory = tmp_path / str(number)
        directory.mkdir()
        try:
            made = await make_variants(source, directory, LIMITS)
        except Rejected as refused:
            return "refused" if refused.detail else "refused without a reason"
        for variant in made:
            kept.extend(f"{name}: {what}" for what in bytes_kept(variant.path.read_bytes()))
        return "cleaned"

    # Anything else that is raised would be a decoder that failed without a reason.
    calls = (partial(tried, name, number) for number, name in enumerate(CORPUS))
    ends = dict(zip(CORPUS, await at_once(calls, 2), strict=True))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    figure(
        "hostile images through the decoder",
        files=len(CORPUS),
        cleaned=list(ends.values()).count("cleaned"),
        refused=list(ends.values()).count("refused"),
        metadata_kept=len(kept),
        largest_child_mb=round(peak),
    )
    assert not kept
    assert set(ends.values()) == {"cleaned", "refused"}
    assert [name for name in CLEANED if ends[name] != "cleaned"] == []
    assert [name for name in REFUSED if ends[name] != "refused"] == []


async def test_no_hostile_image_costs_a_worker(suite, attacker, scaled, figure, at_once):
    if not suite.management:
        pytest.skip("a suite by URL does not show its processes")

    async def process() -> int:
        async with httpx.AsyncClient() as client:
            return int(
                (await client.get(f"{suite.management['worker']}/info")).json()["process_id"]
            )

    async def uploaded(name: str) -> str:
        response = await attacker.http.post(
            "/api/v1/images",
            content=CORPUS[name](),
            headers={**attacker.bearer, "Content-Type": "image/png"},
        )
        if response.status_code != 202:
            assert response.status_code in {400, 413, 415, 422}, f"{name}: {response.text}"
            return "refused at the edge"
        path = f"/api/v1/images/{response.json()['image']['id']}"
        async with asyncio.timeout(180):
            while True:
                image = (await attacker.http.get(path, headers=attacker.bearer)).json()
                if image["status"] in ENDED:
                    break
                await asyncio.sleep(0.2)
        if image["status"] == "rejected":
            assert image["reason"], name
            return "rejected with a reason"
        return "ready"

    names = list(CORPUS)[:: scaled(9, 1)]
    before = await process()
    ends = await at_once((partial(uploaded, name) for name in names), 4)
    counts = {end.replace(" ", "_"): ends.count(end) for end in sorted(set(ends))}
    figure("hostile images through the worker", files=len(names), workers_lost=0, **counts)
    assert await process() == before
