"""Builds the wheels of libs with the version of a release.

    python .ci/wheels.py DIRECTORY [--version 2026.11.28]

The version is the date of the commit, YYYY.M.D, with .postN for the N-th further release of a day
(PEP 440); the commit is in the label of the images. The distributions require each other in exactly
this version. Works on a copy, so that the checkout stays as it is.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DISTRIBUTIONS = ("twelvefold", "twelvefold-client", "twelvefold-dev", "twelvefold-ops")
UV = Path(sys.executable).with_name("uv")
_GIT_TIMEOUT, _BUILD_TIMEOUT = 60, 600  # seconds
_RELEASE = re.compile(r"\d{4}\.\d{2}\.\d{2}-[0-9a-f]{7}")  # a tag of `make release`
_OWN = re.compile(r'^(\s*"twelvefold(?:-\w+)?(?:\[[\w,-]+\])?)"', re.MULTILINE)


def git(*arguments: str) -> str:
    """Return the output of git in the checkout."""
    done = subprocess.run(  # noqa: S603  (git, with arguments of this file)
        ["git", *arguments],  # noqa: S607  (whichever git there is)
        cwd=ROOT,
        env={"TZ": "UTC0", "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_TIMEOUT,
    )
    return done.stdout.strip()


def version_of(day: str, tags: list[str], own: list[str]) -> str:
    """Return the version of a commit of `day` (YYYY.MM.DD).

    `tags` are the releases of that day, the oldest first, and `own` those of the commit.
    """
    releases = [tag for tag in tags if _RELEASE.fullmatch(tag)]
    mine = [tag for tag in releases if tag in own]
    number = releases.index(mine[0]) if mine else len(releases)
    version = ".".join(str(int(part)) for part in day.split("."))
    return f"{version}.post{number}" if number else version


def release_version() -> str:
    """Return the version of the commit that is checked out."""
    day = git("show", "-s", "--date=format-local:%Y.%m.%d", "--format=%cd", "HEAD")
    tags = git("tag", "--list", f"{day}-*", "--sort=creatordate").split()
    return version_of(day, tags, git("tag", "--points-at", "HEAD").split())


def stamp(text: str, version: str) -> str:
    """Return a pyproject.toml with this version, also for the other distributions it requires."""
    text = re.sub(r'^version = ".*"$', f'version = "{version}"', text, count=1, flags=re.MULTILINE)
    return _OWN.sub(rf'\1=={version}"', text)


def build(destination: Path, version: str) -> list[Path]:
    """Build the wheels and return their paths. Raises CalledProcessError where that fails."""
    destination.mkdir(parents=True, exist_ok=True)
    for old in destination.glob("twelvefold*.whl"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for name in DISTRIBUTIONS:
            copy = Path(folder, name)
            shutil.copytree(
                ROOT / "libs" / name, copy, ignore=shutil.ignore_patterns("__pycache__")
            )
            project = copy / "pyproject.toml"
            project.write_text(stamp(project.read_text(encoding="utf-8"), version), "utf-8")
            subprocess.run(  # noqa: S603  (our own uv)
                [UV, "build", "--quiet", "--wheel", "--out-dir", destination.resolve(), copy],
                check=True,
                timeout=_BUILD_TIMEOUT,
            )
    return sorted(destination.glob("twelvefold*.whl"))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--version", default=None, help="instead of the commit's")
    arguments = parser.parse_args()
    for path in build(arguments.directory, arguments.version or release_version()):
        print(path)


if __name__ == "__main__":
    main()
