"""The child process for untrusted images: `python -m worker.imaging.decoder SOURCE DIRECTORY`.

The only module that uses Pillow, so that a decompression bomb or a fault in a decoder ends this
process and not the worker. Its arguments set the limits. It writes `<variant>.webp` files of newly
encoded pixels without metadata, profile or trailing bytes of the source, and prints one JSON
object: the variants, or the reason of a rejection. It uses neither network nor settings.
"""

import argparse
import contextlib
import hashlib
import io
import json
import resource
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from worker.imaging import jpeg, png

FORMATS = ("JPEG", "PNG", "WEBP")
QUALITY = 82
_DRAFT_SIZE = (2048, 2048)  # pixels that a JPEG is reduced to while it is decoded
_LIMIT_ERRORS = (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)
_JPEG_OR_PNG_SIGNATURES = (b"\xff\xd8\xff", png.SIGNATURE)
_ALPHA_MODES = {"RGBA", "LA", "PA", "La", "RGBa"}


class ImageRejected(Exception):
    """The image is invalid. Its owner reads the message."""


def limit_resources(memory: int, seconds: int) -> None:
    """Limit this process to `memory` bytes of address space and `seconds` of CPU time."""
    with contextlib.suppress(ValueError, OSError):  # macOS does not support RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def open_image(source: Path, pixels: int) -> Image.Image:
    """Return the decoded first frame, upright, as RGB or RGBA, in sRGB if its profile is valid.

    Raises ImageRejected where the image is invalid or has more than `pixels` pixels, and Pillow's
    bomb errors and MemoryError where it exceeds a limit.
    """
    Image.MAX_IMAGE_PIXELS = pixels
    with source.open(
        "rb"
    ) as file:  # outside the guard: a missing file is not the fault of the image
        picture, profile = _select_picture(file)
        with _reject_on_error(picture):
            image = _identify(picture)
        width, height = image.size
        if width * height > pixels:
            raise ImageRejected(
                f"has {width} x {height} pixels; at most {pixels} in all are allowed"
            )
        profile = profile or image.info.get("icc_profile")
        with _reject_on_error(picture):
            image = _load(image, picture)
    with contextlib.suppress(Exception):  # invalid EXIF data only loses the orientation
        image = ImageOps.exif_transpose(image)
    return _convert_to_srgb(image, profile)


def _select_picture(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """Return the file to decode, and the profile if it was extracted."""
    if file.read(len(png.SIGNATURE)) == png.SIGNATURE:
        return png.extract_picture(file)
    file.seek(0)
    return file, None


def _identify(file: BinaryIO) -> Image.Image:
    file.seek(0)
    return Image.open(file, formats=FORMATS)


def _load(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Decode `image`, which was read from `file`. A JPEG may lack its end marker."""
    is_jpeg = image.format in ("JPEG", "MPO")  # MPO: several JPEGs, of which viewers show the first
    # A JPEG can be decoded at a fraction of its size; no variant needs more pixels.
    image.draft("RGB", _DRAFT_SIZE)
    try:
        image.load()
    except OSError:
        file.seek(0)
        content = file.read() if is_jpeg else b""
        if not content or not jpeg.has_all_scans(content):
            raise
        digests = {_digest(completed) for completed in jpeg.complete(content)}
        if len(digests) > 1:
            raise
        image = _identify(io.BytesIO(next(jpeg.complete(content))))
        image.draft("RGB", _DRAFT_SIZE)
        image.load()
    return image


def _digest(content: bytes) -> bytes:
    """Return the SHA-256 of all pixels at full size."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return hashlib.sha256(image.tobytes()).digest()


@contextlib.contextmanager
def _reject_on_error(file: BinaryIO) -> Iterator[None]:
    """Reject the image for any error of a decoder, except for exceeded limits (see `main`)."""
    try:
        yield
    except _LIMIT_ERRORS:
        raise
    except Exception as error:
        raise ImageRejected(_reason(file, error)) from error


def _reason(file: BinaryIO, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        file.seek(0)
        head = file.read(12)
        if not (
            head.startswith(_JPEG_OR_PNG_SIGNATURES)
            or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
        ):
            return "is not a JPEG, PNG or WebP image"
    elif "truncated" in str(error).lower():
        return "is truncated: a part of the picture is missing"
    return "is damaged: it cannot be decoded"


def _convert_to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    mode = "RGBA" if image.mode in _ALPHA_MODES or "transparency" in image.info else "RGB"
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB" if image.mode == "CMYK" else image.mode,
            )
            image = converted or image
    if image.mode.startswith("I"):  # 16 bits per sample, which a plain conversion would clip
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert(mode)


def write_variants(image: Image.Image, directory: Path, sizes: dict[str, int]) -> list[Any]:
    """Encode the variants, largest first: each is made from the previous one.

    `sizes` maps names to the longest edge in pixels.
    """
    variants = []
    image.info.clear()
    for name, longest in sorted(sizes.items(), key=lambda item: -item[1]):
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
        path = directory / f"{name}.webp"
        image.save(path, "WEBP", quality=QUALITY, method=4, exif=b"", xmp=b"", icc_profile=None)
        variants.append(
            {
                "name": name,
                "width": image.width,
                "height": image.height,
                "size": path.stat().st_size,
            }
        )
    return variants


def main() -> int:
    """Decode one image; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--sizes",
        type=json.loads,
        required=True,
        help="JSON object of names and longest edges in pixels",
    )
    parser.add_argument("--pixels", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes")
    parser.add_argument("--seconds", type=int, required=True)
    options = parser.parse_args()
    limit_resources(options.memory, options.seconds)
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        image = open_image(options.source, options.pixels)
        response: dict[str, Any] = {
            "variants": write_variants(image, options.directory, options.sizes)
        }
    except ImageRejected as error:
        response = {"rejected": str(error)}
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        response = {"rejected": f"has more than {options.pixels} pixels"}
    except MemoryError:
        response = {"rejected": "needs too much memory to be decoded"}
    sys.stdout.write(json.dumps(response))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
