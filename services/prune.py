"""Deletes from an image what third parties install and nothing there reads; says what it saves.

    python prune.py SITE_PACKAGES

Packages' own tests, botocore's descriptions of AWS's services but S3 and those that give
credentials, and what compilers and type checkers read. Needs the standard library alone.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_MEBIBYTE = 1024 * 1024
_SOURCES = frozenset({".c", ".cpp", ".h", ".hpp", ".pxd", ".pyi", ".pyx"})
_KEPT_MODELS = ("s3", "sts", "sso", "signin")


def _tests(packages: Path) -> Iterator[Path]:
    for folder in packages.rglob("tests"):
        if folder.is_dir() and "tests" not in folder.relative_to(packages).parent.parts:
            yield folder


def _models(packages: Path) -> Iterator[Path]:
    for folder in packages.glob("botocore/data/*"):
        kept = folder.name in _KEPT_MODELS or folder.name.startswith("sso")
        if folder.is_dir() and not kept:
            yield folder


def _sources(packages: Path) -> Iterator[Path]:
    for path in packages.rglob("*"):
        if path.suffix in _SOURCES and path.is_file():
            yield path


def prune(packages: Path) -> dict[str, int]:
    """Delete from `packages`; return the bytes that each kind has freed."""
    freed = {}
    for kind, find in (("packages' tests", _tests), ("AWS models", _models), ("sources", _sources)):
        freed[kind] = 0
        for place in list(find(packages)):
            if place.is_file():
                freed[kind] += place.stat().st_size
                place.unlink()
                continue
            freed[kind] += sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
            shutil.rmtree(place)
    return freed


if __name__ == "__main__":
    for kind, size in prune(Path(sys.argv[1])).items():
        print(f"{kind}: {size / _MEBIBYTE:.1f} MiB freed")
