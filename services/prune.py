"""Deletes from an image what third parties install and nothing there reads; says what it saves.

    python prune.py SITE_PACKAGES

Packages' own tests, and botocore's descriptions of AWS's services but S3 and those that give
credentials. Needs the standard library alone.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

_MEBIBYTE = 1024 * 1024
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


def prune(packages: Path) -> dict[str, int]:
    """Delete from `packages`; return the bytes that each kind has freed."""
    found = {"packages' tests": list(_tests(packages)), "AWS models": list(_models(packages))}
    freed = {}
    for kind, folders in found.items():
        files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        freed[kind] = sum(path.stat().st_size for path in files)
        for folder in folders:
            shutil.rmtree(folder)
    return freed


if __name__ == "__main__":
    for kind, size in prune(Path(sys.argv[1])).items():
        print(f"{kind}: {size / _MEBIBYTE:.1f} MiB freed")
