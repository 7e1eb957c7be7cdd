"""Build the documentation site, or serve it: `python docs/build.py [--serve] [--into DIRECTORY]`.

Pages are in three places: docs/, the decisions in .github/decisions, the policies in .github. The
site generator reads one folder, so this script copies them together, changes links that leave the
site to links to the repository, and runs Zensical with strict links. It exits with 1 where a link
is broken.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "https://github.com/twelvefold/twelvefold/blob/main"
_LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
_RELEASES = "<!-- towncrier release notes start -->"
_SKIPPED = {"build.py", "mkdocs.yml"}


def pages() -> dict[str, str]:
    """Return the files of the site: path in the repository -> path in the site."""
    files = {
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT / "docs").as_posix()
        for path in sorted((ROOT / "docs").rglob("*"))
        if path.is_file() and path.name not in _SKIPPED and "changes" not in path.parts
    }
    for path in sorted((ROOT / ".github" / "decisions").glob("*.md")):
        files[path.relative_to(ROOT).as_posix()] = f"decisions/{path.name}"
    files[".github/CONTRIBUTING.md"] = "contributing.md"
    files[".github/SECURITY.md"] = "security.md"
    files["README.md"] = "index.md"
    return files


def relink(text: str, source: str, site: dict[str, str]) -> str:
    """Return the `text` of the file `source` with its links changed for the site.

    Raises ValueError, which names the link, where one leads to no file of the repository.
    """

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        if target in site:
            here = posixpath.dirname(site[source])
            return f"{match[1]}{posixpath.relpath(site[target], here or '.')}{match[3]}"
        if not (ROOT / target).exists():
            raise ValueError(f"{source}: the link {match[2]} leads nowhere")
        return f"{match[1]}{REPOSITORY}/{target}{match[3]}"

    return _LINK.sub(replace, text)


def _unreleased() -> str:
    """Return the fragments of the next release as a section of the changelog."""
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "Unreleased"]
    return subprocess.run(  # noqa: S603  (arguments of ours)
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def stage(directory: Path) -> Path:
    """Write the sources of the site to `directory` and return its configuration file."""
    site = pages()
    shutil.rmtree(directory / "pages", ignore_errors=True)
    titles = []
    for source, name in site.items():
        target = directory / "pages" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix != ".md":
            shutil.copyfile(ROOT / source, target)
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        if name == "changelog.md":
            text = text.replace(_RELEASES, f"{_unreleased()}\n{_RELEASES}")
        target.write_text(relink(text, source, site), encoding="utf-8")
        if name.startswith("decisions/"):
            titles.append(f"- [{text.splitlines()[0].lstrip('# ')}]({Path(name).name})")
    index = "# Decisions\n\n"
    index += "Each page states a decision, its context, its consequences and the alternatives.\n\n"
    decisions = directory / "pages" / "decisions" / "index.md"
    decisions.write_text(index + "\n".join(titles) + "\n", encoding="utf-8")
    return Path(shutil.copyfile(ROOT / "docs" / "mkdocs.yml", directory / "mkdocs.yml"))


def main() -> int:
    """Build or serve the site and return the exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation site, or serve it.")
    parser.add_argument("--serve", action="store_true", help="show it in a browser")
    parser.add_argument("--into", type=Path, default=ROOT / "dist" / "site", help="output folder")
    arguments = parser.parse_args()
    try:
        configuration = stage(arguments.into)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    mode = ["serve"] if arguments.serve else ["build", "--strict"]
    command = [sys.executable, "-m", "zensical", *mode, "-f", str(configuration)]
    return subprocess.run(command, check=False).returncode  # noqa: S603  (fixed arguments)


if __name__ == "__main__":
    sys.exit(main())
