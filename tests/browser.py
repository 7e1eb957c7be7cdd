"""A real, headless Chromium for tests of the console.

Debian's chromium, or whichever is on the path, driven by Playwright. Where either is missing the
tests say so and are skipped: `make test-browser` installs the one, `apt-get install chromium` the
other.
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
    from playwright.async_api import BrowserContext, Page

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# Headless on a server, perhaps as root, perhaps without a way to the internet.
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
        "--screenshots", type=Path, help="Write the pictures of docs/console to this folder."
    )


@pytest.fixture(scope="session")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[BrowserContext]:
    """One browser with a profile of its own; it may use the clipboard."""
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
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "console", lambda message: complaints.append(message.text) if _complains(message) else None
    )
    page.on(
        "request", lambda request: complaints.append(request.url) if _is_away(request.url) else None
    )
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    yield page
    await page.close()
    assert complaints == []


def _complains(message: Any) -> bool:
    # An answer of 4xx is in the tests' own hands.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def _is_away(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    pytest.importorskip("axe_playwright_python", reason="axe is not installed: make test-browser")
    folder = importlib.resources.files("axe_playwright_python")
    return (folder / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Any, str], Awaitable[None]]:
    """Writes a picture of what the page shows, where pictures are requested."""
    folder: Path | None = request.config.getoption("--screenshots")

    async def take(page: Any, name: str) -> None:
        if folder is not None:
            _keep(await page.screenshot(animations="disabled"), folder / f"{name}.png")

    return take


def _keep(screenshot: bytes, path: Path) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    # Colours that most of it has, exactly; the smoothed edges of glyphs have similar ones.
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
