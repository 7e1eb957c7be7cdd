"""A real, headless Chromium for tests of the console.

Playwright drives the chromium on the path. Tests are skipped where either is missing: `make
test-browser` installs Playwright, `apt-get install chromium` the browser.
"""

from __future__ import annotations

import importlib.resources
import io
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# For a server, possibly as root and without internet access.
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, NARROW = (1440, 900), (390, 844)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("browser").addoption(
        "--screenshots", type=Path, help="Write screenshots of the console to this folder."
    )


@pytest.fixture(scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BrowserContext]:
    """One browser with its own profile and access to the clipboard."""
    pytest.importorskip("playwright", reason="playwright is not installed: make test-browser")
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=program,
            headless=True,
            args=_FLAGS,
            permissions=["clipboard-read", "clipboard-write"],
        )
        yield context
        await context.close()


@pytest.fixture
async def page(chromium: BrowserContext) -> AsyncIterator[Page]:
    """A tab that fails its test on a script error, a broken policy or a request to another host."""
    page = await chromium.new_page()
    problems: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # Tests check failed requests themselves; Swagger UI deprecates its own old links.
        expected = ("Failed to load resource", "Deprecated: escaping deep link")
        if message.type == "error" and not message.text.startswith(expected):
            problems.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:")):
            problems.append(request.url)

    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", on_console)
    page.on("request", on_request)
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    yield page
    await page.close()
    assert problems == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source code of axe-core."""
    pytest.importorskip("axe_playwright_python", reason="axe is not installed: make test-browser")
    folder = importlib.resources.files("axe_playwright_python")
    return (folder / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Any, str], Awaitable[None]]:
    """Writes a picture of what the page shows, where pictures are requested."""
    folder: Path | None = request.config.getoption("--screenshots")

    async def take(page: Any, name: str) -> None:
        if folder is not None:
            save_screenshot(await page.screenshot(animations="disabled"), folder / f"{name}.png")

    return take


def save_screenshot(screenshot: bytes, path: Path) -> None:
    """Write a picture with the 256 most frequent of its colours."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    # The 256 most frequent colours stay exact; edges of glyphs use the nearest of them.
    counted: Any = picture.getcolors(picture.width * picture.height)
    common = sorted(counted, reverse=True)[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for _, colour in common for channel in colour])
    near = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    exact = {colour: number for number, (_, colour) in enumerate(common)}
    channels = picture.tobytes()
    colours = zip(channels[0::3], channels[1::3], channels[2::3], strict=True)
    numbers = zip(colours, near.tobytes(), strict=True)
    near.frombytes(bytes(exact.get(colour, number) for colour, number in numbers))
    near.save(path, optimize=True)
