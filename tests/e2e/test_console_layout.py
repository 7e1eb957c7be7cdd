"""The views of the console at every width: nothing is cut, and every action can be reached."""

from __future__ import annotations

import httpx
import pytest
from tests.browser import NARROW
from tests.console_page import READY, open_page

VIEWS = ["/", "/requests?kind=", "/jobs", "/queues", "/mail", "/logs", "/metrics", "/stack"]
LAPTOP, TABLET = (1280, 800), (1024, 768)
# Tables of which a part lies outside of their box, and actions outside of the window.
CUT = """[...document.querySelectorAll('.scroll-x')]
  .filter((box) => box.scrollWidth > box.clientWidth + 1)
  .map((box) => box.innerText.slice(0, 80))"""
OUTSIDE = """[...document.querySelectorAll('main button, main select, main td a')]
  .filter((one) => one.checkVisibility({ visibilityProperty: true }))
  .filter((one) => { const box = one.getBoundingClientRect();
    return box.width && (box.left < 0 || box.right > innerWidth); })
  .map((one) => one.innerText)"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
async def visited(page, link, suite) -> None:
    """Open the printed link after an account was registered and a request failed."""
    page.set_default_timeout(READY * 1000)
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        await client.get("/api/v1/users/me")
    await open_page(page, link)


@pytest.mark.parametrize("size", [LAPTOP, TABLET, NARROW], ids=lambda size: f"{size[0]}px")
async def test_no_table_is_cut_and_no_action_is_out_of_reach(page, console, size) -> None:
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    for path in VIEWS:
        await open_page(page, console + path)
        assert await page.evaluate(CUT) == [], path
        assert await page.evaluate(OUTSIDE) == [], path


async def test_rows_become_cards_where_columns_have_no_room(page, console) -> None:
    await page.set_viewport_size({"width": TABLET[0], "height": TABLET[1]})
    await open_page(page, f"{console}/stack")
    row = page.locator("tr", has_text="users.1")
    memory = row.locator('td[data-label="PSS"]')
    label = "cell => getComputedStyle(cell, '::before').content"
    assert await memory.evaluate(label) == '"PSS "'
    assert await row.evaluate("row => getComputedStyle(row).display") == "flex"
    await page.set_viewport_size({"width": LAPTOP[0], "height": LAPTOP[1]})
    assert await memory.evaluate(label) == "none"


async def test_charts_show_times_exemplars_and_a_filter_that_the_url_keeps(
    page, console, suite
) -> None:
    async with httpx.AsyncClient(base_url=suite.url, timeout=30) as client:
        for _ in range(3):
            await client.get("/api/v1/users/me")
    await open_page(page, f"{console}/metrics?span=900")
    assert await page.get_by_role("radio", name="15 min").is_checked()
    latency = page.locator(".chart", has_text="Latency of requests")
    exemplar = latency.locator(".exemplars a").first
    await exemplar.wait_for(timeout=60_000)
    assert await latency.locator("text.axis").count() >= 3  # a value and times

    await page.get_by_label("Filter by label").fill("process=api")
    await page.wait_for_url("**/metrics?span=900&labels=process*")
    await page.locator(".legend", has_text="users.1").first.wait_for(state="detached")
    await page.reload()
    assert await page.get_by_label("Filter by label").input_value() == "process=api"
    await page.get_by_label("Filter by label").fill("process=none")
    await page.get_by_text("No series fits these labels.").first.wait_for()

    await page.get_by_label("Filter by label").fill("")
    await exemplar.click()
    await page.wait_for_url("**/traces/*")
    await page.get_by_role("tree").wait_for()


async def test_a_line_without_a_current_value_shows_none(page, console, suite) -> None:
    await open_page(page, f"{console}/metrics")
    memory = page.locator(".chart", has_text="Memory")
    past = memory.locator("li", has_text="api.2")
    suite.command("scale", "api=2")
    try:
        await past.locator("b", has_text="MB").wait_for(timeout=60_000)
    finally:
        suite.command("scale", "api=1")
    await page.mouse.move(0, 0)
    await past.get_by_title("no value at this time").wait_for(timeout=60_000)


async def test_a_log_line_has_columns_and_shows_its_exception(page, console, suite) -> None:
    line = (
        '{"time": "2026-11-23T19:13:02Z", "level": "error", "event": "planted_event", '
        '"exception": "Traceback (most recent call last):\\n  File \\"x.py\\", line 1\\n'
        'ValueError: the reason"}\n'
    )
    with (suite.checkout / ".twelvefold/logs/api.1.log").open("a") as file:
        file.write(line)
    await open_page(page, f"{console}/logs?q=planted_event")
    row = page.locator(".log-line", has_text="planted_event").first
    assert await row.locator(".log-exception").inner_text() == "ValueError: the reason"
    columns = await row.evaluate(
        "row => [...row.querySelectorAll('summary > *')].map(one => one.getBoundingClientRect().x)"
    )
    heads = await page.evaluate(
        "[...document.querySelectorAll('.log-head > *')].map(one => one.getBoundingClientRect().x)"
    )
    assert [round(one) for one in columns[:5]] == [round(one) for one in heads]
    await row.locator("summary").click()
    await row.get_by_role("button", name="Copy line").click()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert '"event":"planted_event"' in copied
