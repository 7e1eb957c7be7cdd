"""The child process that decodes strangers' images: `python -m worker.imaging.decoder SOURCE DIRECTORY`.

Owns everything that touches Pillow, so that a bomb or a decoder's fault ends this process and not
the worker. It is given limits by its parent's arguments, writes `<variant>.webp` files of freshly
encoded pixels (nothing of the source's metadata, profile or trailing bytes survives) and prints
one JSON object: the variants, or the reason of a refusal. It reaches no network and no settings.
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
_ENOUGH = (2048, 2048)  # pixels, of a JPEG that is decoded
_BOUNDS = (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning)
_SIGNATURES = (b"\xff\xd8\xff", png.SIGNATURE)
_TRANSPARENT = {"RGBA", "LA", "PA", "La", "RGBa"}


class ImageRejected(Exception):
    """The image is at fault; the message is shown to its owner."""


def limit(memory: int, seconds: int) -> None:
    """Bounds this process: bytes of address space, seconds of processor time."""
    with contextlib.suppress(ValueError, OSError):  # macOS does not know RLIMIT_AS
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def opened(source: Path, pixels: int) -> Image.Image:
    """The decoded first frame, upright, in RGB or RGBA, sRGB where its profile can be read."""
    Image.MAX_IMAGE_PIXELS = pixels
    with source.open("rb") as file:  # one that is not there is no fault of the image
        picture, profile = _picture_of(file)
        with _blaming(picture):
            image = _identify(picture)
        width, height = image.size
        if width * height > pixels:
            raise ImageRejected(f"has {width} x {height} pixels; at most {pixels} in all are taken")
        profile = profile or image.info.get("icc_profile")
        with _blaming(picture):
            image = _load(image, picture)
    with contextlib.suppress(Exception):  # hostile EXIF costs the orientation, not the image
        image = ImageOps.exif_transpose(image)
    return _in_srgb(image, profile)


def _picture_of(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """What is to be decoded, and the profile where it was taken out."""
    if file.read(len(png.SIGNATURE)) == png.SIGNATURE:
        return png.extract_picture(file)
    file.seek(0)
    return file, None


def _identify(file: BinaryIO) -> Image.Image:
    file.seek(0)
    return Image.open(file, formats=FORMATS)


def _load(image: Image.Image, file: BinaryIO) -> Image.Image:
    """Decodes `image`, which was read from `file`; a JPEG may lack its end marker, and only that."""
    is_jpeg = image.format in ("JPEG", "MPO")  # MPO: several JPEGs, of which the first is shown
    # JPEG can decode at a fraction of its size: nobody sees more than the largest variant.
    image.draft("RGB", _ENOUGH)
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
        image.draft("RGB", _ENOUGH)
        image.load()
    return image


def _digest(content: bytes) -> bytes:
    """Of every pixel, at full size."""
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        return hashlib.sha256(image.tobytes()).digest()


@contextlib.contextmanager
def _blaming(file: BinaryIO) -> Iterator[None]:
    """Whatever a decoder stumbles over is in the input, but for its bounds, told by `main`."""
    try:
        yield
    except _BOUNDS:
        raise
    except Exception as error:
        raise ImageRejected(_reason(file, error)) from error


def _reason(file: BinaryIO, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        file.seek(0)
        head = file.read(12)
        if not (head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")):
            return "is not a JPEG, PNG or WebP image"
    elif "truncated" in str(error).lower():
        return "is truncated: a part of the picture is missing"
    return "is damaged: it cannot be decoded"


def _in_srgb(image: Image.Image, profile: Any) -> Image.Image:
    mode = "RGBA" if image.mode in _TRANSPARENT or "transparency" in image.info else "RGB"
    if profile and image.mode in ("RGB", "RGBA", "CMYK"):
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB" if image.mode == "CMYK" else image.mode,
            )
            image = converted or image
    if image.mode.startswith("I"):  # 16 bits a sample; a plain conversion would clip them
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    return image.convert(mode)


def write_variants(image: Image.Image, directory: Path, sizes: dict[str, int]) -> list[Any]:
    """Encodes each variant, the largest first since each is made from the one before."""
    made = []
    image.info.clear()
    for name, longest in sorted(sizes.items(), key=lambda item: -item[1]):
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=3.0)
        path = directory / f"{name}.webp"
        image.save(path, "WEBP", quality=QUALITY, method=4, exif=b"", xmp=b"", icc_profile=None)
        made.append(
            {
                "name": name,
                "width": image.width,
                "height": image.height,
                "size": path.stat().st_size,
            }
        )
    return made


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--sizes", type=json.loads, required=True, help='{"128": 128, …}')
    parser.add_argument("--pixels", type=int, required=True)
    parser.add_argument("--memory", type=int, required=True, help="bytes")
    parser.add_argument("--seconds", type=int, required=True)
    options = parser.parse_args()
    limit(options.memory, options.seconds)
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    try:
        image = opened(options.source, options.pixels)
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
