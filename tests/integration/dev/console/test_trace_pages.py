"""The lists of the console in a real browser, their history, and large traces."""

from __future__ import annotations

import os
from typing import Any

import pytest
from tests.browser import NARROW, WIDE
from tests.integration.dev.console.conftest import TOKEN, Console
from tests.spans import span

from twelvefold_dev.checkout import Checkout
from twelvefold_dev.console.traces.spans import Span
from twelvefold_dev.console.traces.store import TraceStore

LOADED = "main:not([aria-busy])"
ROWS = "tbody tr"
LARGE = 2_000  # spans, the most that a trace keeps
EARLIER = 1_790_000_000.0  # the start of the earlier run

pytestmark = pytest.mark.timeout(120)


def store_earlier_run(checkout: Checkout) -> None:
    store = TraceStore(checkout.console / "traces.db", EARLIER)
    store.add([request("/of-the-earlier-run")])
    store.close()


@pytest.fixture(scope="module")
async def console(start_console) -> Console:
    found: Console = await start_console(prepare=store_earlier_run)
    return found


@pytest.fixture(autouse=True)
async def token(page, console) -> None:
    """Open the printed link, so that the browser has the token."""
    await page.goto(f"{console.url}/#token={TOKEN}")
    await page.wait_for_selector(LOADED)


def request(route: str, at: int = 0, ms: int = 10, **more: Any) -> Span:
    return span(
        f"GET {route}", at=at, ms=ms, http__route=route, http__request__method="GET", **more
    )


def large_trace(count: int = LARGE) -> list[Span]:
    """A request with calls, each of which has nine statements."""
    root = request("/large", ms=count)
    spans = [root]
    while len(spans) < count:
        at = len(spans)
        call = span("GET users", parent=root, at=at, ms=10, url__full=f"http://users/{at}")
        statements = [
            span(
                "SELECT users.accounts",
                parent=call,
                at=at + n,
                ms=1,
                service="users",
                db__system__name="postgresql",
                db__query__text=f"SELECT * FROM users.accounts WHERE id = $1 -- {at + n}",
            )
            for n in range(9)
        ]
        spans += [call, *statements]
    return spans[:count]


async def open_page(page, url: str) -> None:
    await page.goto(url)
    await page.wait_for_selector(LOADED)


async def first_row_on_screen(page) -> tuple[str, int]:
    """Return the id and the place of the first row below the bar with the search."""
    found = await page.evaluate(
        """() => {
          const bar = document.querySelector(".top").offsetHeight;
          const places = [...document.querySelectorAll("tbody tr")].map((row) =>
            [row.dataset.id, Math.round(row.getBoundingClientRect().top)]);
          return places.find(([, top]) => top >= bar);
        }"""
    )
    return found[0], found[1]


async def is_in_sight(page, locator) -> bool:
    box = await locator.bounding_box()
    height = await page.evaluate("innerHeight")
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= height


# Runs


async def test_the_selector_of_runs_survives_a_reload_and_labels_earlier_data(
    page, console
) -> None:
    await console.send(request("/of-this-run"))
    await open_page(page, f"{console.url}/requests?q=of-")
    runs = page.get_by_label("Run of the stack")
    earlier = await runs.locator("option").nth(1).inner_text()
    assert earlier.startswith("Run of 2")
    await runs.select_option(label=earlier)
    await page.get_by_role("link", name="/of-the-earlier-run").wait_for()
    label = page.locator(".earlier-run")
    assert await label.inner_text() == (
        f"Earlier data of the r{earlier[1:]}, which has ended. Show the current run"
    )

    await page.reload()
    await page.get_by_role("link", name="/of-the-earlier-run").wait_for()
    assert await label.count() == 1
    assert await runs.locator("option:checked").inner_text() == earlier

    await page.get_by_role("link", name="/of-the-earlier-run").click()
    await page.get_by_role("tree").wait_for()
    assert await label.count() == 1
    await page.go_back()
    await page.get_by_role("link", name="/of-the-earlier-run").wait_for()
    await label.get_by_role("link").click()
    await page.get_by_role("link", name="/of-this-run").first.wait_for()
    assert await label.count() == 0


async def test_a_run_that_is_no_longer_stored_is_named_as_such(page, console) -> None:
    await open_page(page, f"{console.url}/requests?run=99")
    assert "no longer stored" in await page.locator(".earlier-run").inner_text()


# History


@pytest.fixture(scope="module")
async def many(console) -> None:
    """More requests than two pages of the list have."""
    await console.send(*(request(f"/many/{n}", at=n) for n in range(250)))


async def test_back_and_reload_restore_loaded_pages_and_the_scroll_position(
    page, console, many
) -> None:
    await open_page(page, f"{console.url}/requests?q=many")
    await page.get_by_role("button", name="Older").click()
    await page.wait_for_function(f"() => document.querySelectorAll('{ROWS}').length >= 200")
    row = page.locator(ROWS).nth(150)
    await row.scroll_into_view_if_needed()
    before = await first_row_on_screen(page)
    count = await page.locator(ROWS).count()
    link = row.get_by_role("link")
    href = await link.get_attribute("href")
    await link.click()
    await page.get_by_role("tree").wait_for()
    await console.send(request("/many/late", at=900))

    await page.go_back()
    await page.wait_for_function("() => scrollY > 0")
    assert await page.locator(ROWS).count() == count
    assert await first_row_on_screen(page) == before
    assert await page.evaluate("document.activeElement.getAttribute('href')") == href

    await page.reload()
    await page.wait_for_function("() => scrollY > 0")
    assert await page.locator(ROWS).count() == count
    assert await first_row_on_screen(page) == before
    assert await is_in_sight(page, page.get_by_role("button", name="1 new trace"))


async def test_a_slower_trace_that_comes_in_is_shown_once_on_the_pages_by_duration(
    page, console, many
) -> None:
    await open_page(page, f"{console.url}/requests?q=many&order=duration")
    older = page.get_by_role("button", name="Older")
    await older.click()
    await page.wait_for_function(f"() => document.querySelectorAll('{ROWS}').length >= 200")
    ids = await page.locator(ROWS).evaluate_all("rows => rows.map((row) => row.dataset.id)")
    assert len(ids) == len(set(ids))


INSERT_JOBS = """
INSERT INTO jobs.jobs (id, kind, payload, status, created_at)
SELECT gen_random_uuid(), 'email.send', '{}', 'succeeded', now() - n * interval '1 minute'
FROM generate_series($1::int, $2::int) AS n
"""


async def test_back_restores_the_loaded_jobs(page, console, jobs) -> None:
    await jobs.execute(INSERT_JOBS, 1, 120)
    await open_page(page, f"{console.url}/jobs")
    await page.get_by_role("button", name="Older").click()
    row = page.locator(ROWS).nth(80)
    await row.scroll_into_view_if_needed()
    before = await page.evaluate("scrollY")
    await row.get_by_role("link").first.click()
    await page.wait_for_url("**/jobs/*")
    await page.go_back()
    await page.wait_for_function("() => scrollY > 0")
    assert await page.locator(ROWS).count() == 100
    assert await page.evaluate("scrollY") == before


async def test_jobs_stay_while_they_are_read(page, console, jobs) -> None:
    await jobs.execute(INSERT_JOBS, 1, 5)
    await open_page(page, f"{console.url}/jobs")
    await page.locator(ROWS).first.hover()
    await jobs.execute(INSERT_JOBS, 0, 0)
    await page.get_by_text("1 new job shown once you leave the list").wait_for()
    assert await page.locator(ROWS).count() == 5
    await page.locator("#search").hover()
    await page.wait_for_function(f"() => document.querySelectorAll('{ROWS}').length === 6")


# Reading


async def test_rows_stay_while_they_are_read_by_keyboard_and_a_key_shows_the_new_ones(
    page, console, many
) -> None:
    await open_page(page, f"{console.url}/requests?q=many")
    for _ in range(40):  # the top is out of sight then
        await page.keyboard.press("ArrowDown")
    before = await first_row_on_screen(page)
    focused = await page.evaluate("document.activeElement.href")
    await console.send(request("/many/new", at=950))

    fresh = page.get_by_role("button", name="1 new trace")
    await fresh.wait_for()
    assert await first_row_on_screen(page) == before
    assert await page.evaluate("document.activeElement.href") == focused
    assert await is_in_sight(page, fresh)

    await page.keyboard.press("n")
    await page.locator(ROWS).first.get_by_role("link", name="/many/new").wait_for()
    assert await page.evaluate("scrollY") == 0
    assert await page.evaluate("document.activeElement.textContent.trim()") == "GET /many/new"
    assert await fresh.count() == 0


async def test_rows_stay_while_they_are_scrolled_through(page, console, many) -> None:
    await open_page(page, f"{console.url}/requests?q=many")
    await page.locator("#search").hover()
    await page.evaluate("scrollTo(0, 600)")
    before = await first_row_on_screen(page)
    await console.send(request("/many/newer", at=960))
    fresh = page.get_by_role("button", name="1 new trace")
    await fresh.wait_for()
    assert await first_row_on_screen(page) == before
    assert await is_in_sight(page, fresh)


async def test_a_paused_list_continues_on_request(page, console, many) -> None:
    await open_page(page, f"{console.url}/requests?q=many")
    await page.get_by_role("button", name="Pause").click()
    await page.locator("#search").hover()
    await console.send(request("/many/later", at=970))
    await page.get_by_role("button", name="1 new trace").wait_for()
    assert await page.locator(ROWS, has_text="/many/later").count() == 0
    await page.get_by_role("button", name="Continue").click()
    await page.locator(ROWS, has_text="/many/later").wait_for()


# Spans


@pytest.fixture(scope="module")
async def large(console) -> list[Span]:
    spans = large_trace()
    await console.send(*spans)
    return spans


async def test_a_span_of_a_large_trace_is_shown_by_its_url(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    await page.get_by_role("treeitem").nth(5).click()
    assert page.url.endswith(f"?span={large[5].span_id}")
    last = large[-1]
    await open_page(page, f"{console.url}/traces/{last.trace_id}?span={last.span_id}")
    selected = page.locator('[role="treeitem"][aria-selected="true"]')
    await selected.wait_for()
    assert await selected.get_attribute("id") == f"span-{last.span_id}"
    assert await is_in_sight(page, selected)
    details = page.get_by_role("article", name="Span SELECT")
    assert str(last.attributes["db.query.text"]) in await details.inner_text()
    await details.get_by_role("button", name="Copy link").click()
    assert await page.evaluate("navigator.clipboard.readText()") == page.url


async def test_a_narrow_screen_shows_the_span_over_its_trace(page, console, large) -> None:
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    span_ = large[700]
    await open_page(page, f"{console.url}/traces/{span_.trace_id}?span={span_.span_id}")
    title = page.get_by_role("article", name="Span SELECT").get_by_role("heading").first
    row = page.locator(f"#span-{span_.span_id}")
    assert await is_in_sight(page, title)
    assert await is_in_sight(page, row)
    await page.get_by_role("button", name="Close the panel").click()
    assert await row.evaluate("row => row === document.activeElement")
    assert not await is_in_sight(page, title)


async def test_an_address_of_a_span_that_was_not_received_says_so(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}?span={'f' * 16}")
    await page.get_by_text("was not received").wait_for()


async def test_only_rows_near_the_screen_of_a_large_trace_are_drawn(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    items = page.get_by_role("treeitem")
    assert 20 < await items.count() < 100
    await items.first.focus()
    axis = page.locator(".axis-time")
    await page.keyboard.press("End")
    assert await page.evaluate("document.activeElement.id") == f"span-{large[-1].span_id}"
    assert await is_in_sight(page, page.locator(":focus"))
    assert await is_in_sight(page, axis)  # it is sticky
    assert await items.count() < 100
    # Fold to the parent: one call with nine statements less.
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    folded = page.locator(":focus")
    assert await folded.get_attribute("aria-expanded") == "false"
    await page.keyboard.press("Home")
    assert await page.evaluate("document.activeElement.id") == f"span-{large[0].span_id}"
    await page.get_by_role("button", name="Fold all", exact=True).click()
    statements = page.locator('[role="treeitem"][aria-level="3"]')
    assert await statements.count() == 0
    await page.get_by_role("button", name="Unfold all").click()
    assert await statements.count() > 10


async def test_the_zoom_is_part_of_the_address(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    await page.get_by_role("treeitem").nth(1).focus()
    await page.keyboard.press("z")
    await page.wait_for_url("**zoom=*")
    shown = await page.locator(".zoom-range").inner_text()
    assert shown == "11.0 ms shown"
    ticks = await page.locator(".tick").all_inner_texts()
    assert len(ticks) == len(set(ticks)) >= 2
    await page.reload()
    await page.get_by_role("treeitem").first.wait_for()
    assert await page.locator(".zoom-range").inner_text() == shown
    await page.get_by_role("button", name="Fit").click()
    await page.wait_for_url(lambda url: "zoom" not in url)
    assert await page.locator(".tick").all_inner_texts() != ticks

    box = await page.locator(".minimap").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 10)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 10)
    await page.mouse.up()
    assert (await page.locator(".zoom-range").inner_text()).startswith("50")  # of 2,000 ms


async def test_a_search_within_the_trace_goes_from_match_to_match(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    await page.get_by_role("button", name="Fold all", exact=True).click()
    await page.keyboard.press("f")
    await page.keyboard.type("accounts -- 15")
    count = page.locator(".find-count")
    texts = [(one, str(one.attributes.get("db.query.text"))) for one in large]
    found = [one for one, text in texts if "--" in text and "15" in text]
    assert await count.inner_text() == f"{len(found)} found"
    await page.keyboard.press("Enter")
    await page.keyboard.press("Enter")
    assert await count.inner_text() == f"2 of {len(found)}"
    selected = page.locator('[role="treeitem"][aria-selected="true"]')
    assert await selected.get_attribute("id") == f"span-{found[1].span_id}"
    assert await is_in_sight(page, selected)
    await page.keyboard.press("Shift+Enter")
    assert await count.inner_text() == f"1 of {len(found)}"
    await page.wait_for_url("**find=accounts*")
    await page.reload()
    assert await page.locator("#find").input_value() == "accounts -- 15"


async def test_the_column_of_names_has_a_width_of_its_own_and_tooltips(
    page, console, large
) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    handle = page.get_by_role("separator", name="Width of the column of names")
    label = page.locator(".span-label").nth(2)
    assert "SELECT * FROM users.accounts" in (await label.get_attribute("title") or "")
    before = await label.evaluate("label => label.offsetWidth")
    await handle.focus()
    for _ in range(5):
        await page.keyboard.press("ArrowRight")
    wide = await label.evaluate("label => label.offsetWidth")
    assert wide > before + 50
    await page.reload()
    assert await label.evaluate("label => label.offsetWidth") == wide
    await handle.dblclick()
    assert await label.evaluate("label => label.offsetWidth") == before


async def test_the_export_is_downloaded(page, console, large) -> None:
    await open_page(page, f"{console.url}/traces/{large[0].trace_id}")
    async with page.expect_download() as started:
        await page.get_by_role("link", name="OTLP JSON").click()
    download = await started.value
    assert download.suggested_filename == f"trace-{large[0].trace_id}.json"
    assert (await download.path()).stat().st_size > 100 * LARGE


async def test_new_spans_neither_move_the_row_that_is_read_nor_take_the_focus(
    page, console
) -> None:
    spans = large_trace(400)
    await console.send(*spans)
    await open_page(page, f"{console.url}/traces/{spans[0].trace_id}?span={spans[300].span_id}")
    row = page.locator(f"#span-{spans[300].span_id}")
    await row.click()
    place = "row => Math.round(row.getBoundingClientRect().top)"
    before = await row.evaluate(place)
    await console.send(request("/elsewhere"), span("late", parent=spans[0], at=1, ms=1))
    await page.get_by_text("401", exact=True).wait_for()
    assert await row.evaluate(place) == before
    assert await row.evaluate("row => row === document.activeElement")
    await page.locator("#find").focus()
    await console.send(span("later", parent=spans[0], at=2, ms=1))
    await page.get_by_text("402", exact=True).wait_for()
    assert await page.evaluate("document.activeElement.id") == "find"


async def test_the_times_of_a_trace_of_2000_spans_are_printed(page, console, large, figure) -> None:
    """Measure from the response to the drawn rows, and from a click to the drawn details.

    The times are printed with the load of the machine, on which they depend, and not asserted.
    """
    await open_page(page, f"{console.url}/requests?q={large[0].trace_id}")
    await page.evaluate(
        """() => {
          window.drawn = new Promise((resolve) => new MutationObserver((_, observer) => {
            if (!document.querySelector('[role="treeitem"]')) return;
            observer.disconnect();
            document.body.offsetHeight;
            const now = performance.now();
            const response = performance.getEntriesByType("resource")
              .findLast((one) => one.name.includes("/api/traces/"));
            resolve({ drawn: now - response.responseEnd, loaded: response.duration });
          }).observe(document.querySelector("main"), { childList: true, subtree: true }));
        }"""
    )
    await page.locator(ROWS).get_by_role("link").click()
    times = await page.evaluate("window.drawn")
    clicks = await page.evaluate(
        """async () => {
          const times = [];
          for (const at of [3, 8, 13, 18]) {
            const row = document.querySelectorAll('[role="treeitem"]')[at];
            const start = performance.now();
            row.click();
            document.body.offsetHeight;
            times.push(performance.now() - start);
            await new Promise(requestAnimationFrame);
          }
          return times;
        }"""
    )
    figure(
        f"a trace of {LARGE} spans",
        response_ms=round(times["loaded"]),
        drawn_ms_later=round(times["drawn"]),
        clicks_ms="/".join(f"{one:.0f}" for one in clicks),
        load=round(os.getloadavg()[0], 1),
        processors=os.cpu_count(),
    )


# Accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, (1280, 800), NARROW])
async def test_the_pages_of_traces_are_accessible_and_fit(
    page, console, large, axe, picture, scheme, size
) -> None:
    failing = request("/failing", error="ValueError: no")
    await console.send(failing, span("SELECT", parent=failing, error="E: gone"))
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": size[0], "height": size[1]})
    trace = f"/traces/{large[0].trace_id}"
    views = {
        "requests": "/requests?q=many",
        "earlier": "/requests?run=1",
        "failing": f"/traces/{failing.trace_id}",
        "large": trace,
        "span": f"{trace}?span={large[700].span_id}&zoom=500000000-900000000&find=accounts",
    }
    for name, path in views.items():
        await open_page(page, console.url + path)
        await page.evaluate(axe)
        found = await page.evaluate("axe.run()")
        faults = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
        assert faults == [], path
        overflow = "document.documentElement.scrollWidth - innerWidth"
        assert await page.evaluate(overflow) <= 0, path
        if (name, scheme, size) == ("span", "light", WIDE):
            await picture(page, "large-trace")


async def test_a_log_line_leads_to_its_span(page, console) -> None:
    root = request("/logged")
    query = span("SELECT", parent=root, error="E: gone")
    await console.send(root, query)
    console.log(
        "api.1",
        time="2026-11-23T19:13:02Z",
        level="error",
        event="query_failed",
        trace_id=root.trace_id,
        span_id=query.span_id,
    )
    await open_page(page, f"{console.url}/logs?q=query_failed")
    await page.get_by_role("link", name="Trace of this line").click()
    await page.get_by_role("article", name="Span SELECT").wait_for()
    assert page.url.endswith(f"?span={query.span_id}")
