"""The documentation site is built from every page, and a link that leads nowhere fails it."""

import html
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    page
    for page in (
        ROOT / "README.md",
        *ROOT.glob(".github/**/*.md"),
        *ROOT.glob("docs/**/*.md"),
    )
    if page.name != "changelog.md"  # it keeps the names of its time
)
# Its paths are those of a service that it creates; tests/e2e/test_new_service.py runs it.
_OF_A_NEW_SERVICE = ROOT / "docs/tutorial/fourth-service.md"
_PATH = re.compile(r"(?:\.ci|\.github|charts|docs|istio|libs|services|tests)(?:/[\w.*<>-]+)+/?")
_IN_PACKAGE = re.compile(r"twelvefold(?:_dev|_ops)?(?:/[\w.]+)+")
_SYMBOL = re.compile(r"twelvefold(?:_dev|_ops)?(?:\.\w+)+")


def build(root: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "docs/build.py"), "--into", str(into)]
    return subprocess.run(  # noqa: S603  (our own)
        command, capture_output=True, text=True, timeout=100, check=False
    )


def test_the_site_is_built_with_strict_links_and_asks_no_other_host(tmp_path):
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(path.relative_to(tmp_path / "html") for path in tmp_path.rglob("html/**/*.html"))
    for page in (
        "index.html", "guides/api.html", "reference/settings.html", "decisions/index.html",
    ):  # fmt: skip
        assert Path(page) in pages
    for page in pages:
        text = (tmp_path / "html" / page).read_text()
        for part in ('<script src="http', '<link rel="stylesheet" href="http', "fonts.g"):
            assert part not in text, page


def test_the_changelog_shows_what_is_not_released_yet(tmp_path):
    assert build(ROOT, tmp_path).returncode == 0
    page = (tmp_path / "html/changelog.html").read_text()
    assert "Unreleased" in page
    for fragment in (ROOT / "docs/changes").glob("*.md"):
        first = fragment.read_text().split("`")[0].split("\n")[0].split("(")[0].strip()[:40]
        assert html.escape(first, quote=False) in page, fragment.name


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path):
    for name in ("docs", ".github"):
        (tmp_path / name).mkdir()
    (tmp_path / ".github/decisions").mkdir()
    for name in (".github/CONTRIBUTING.md", ".github/SECURITY.md"):
        (tmp_path / name).write_text("# Page\n")
    (tmp_path / "docs/build.py").write_text((ROOT / "docs/build.py").read_text())
    (tmp_path / "README.md").write_text("# Home\n\n[gone](docs/gone.md)\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "README.md: the link docs/gone.md leads nowhere" in done.stderr


def test_the_glossary_names_code_that_exists():
    code = "\n".join(
        path.read_text()
        for top in ("libs", "services")
        for path in ROOT.glob(f"{top}/**/src/**/*.py")
    )
    rows = re.findall(
        r"^\|[^|]+\|[^|]+\|([^|]+)\|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE
    )
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(names) > 40
    assert [name for name in names if not re.search(rf"\b{re.escape(name)}\b", code)] == []


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != _OF_A_NEW_SERVICE],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_the_paths_and_modules_that_a_page_names_exist(page):
    missing = []
    for name in re.findall(r"`([^`\n]+)`", page.read_text()):
        if _PATH.fullmatch(name) or _IN_PACKAGE.fullmatch(name):
            inside = "libs/*/src/" if _IN_PACKAGE.fullmatch(name) else ""
            if not any(ROOT.glob(inside + re.sub(r"<\w+>", "*", name.rstrip("/")))):
                missing.append(name)
        elif _SYMBOL.fullmatch(name):
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError):
                missing.append(name)
    assert missing == []
