"""The page /docs and an email in a real browser: colours, kept authorisation, demo login, width."""

import json

import httpx
import pytest
from tests.browser import NARROW

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EmailTemplate
from twelvefold.identifiers import new_id
from twelvefold.mail.brand import Brand
from twelvefold.mail.rendering import render_email

READY = "#operations-users-get_me"
TIMEOUT = 30_000  # milliseconds
pytestmark = pytest.mark.timeout(240)


async def open_docs(page, suite) -> None:
    await page.goto(f"{suite.url}/docs")
    await page.wait_for_selector(READY, timeout=TIMEOUT)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_follows_the_browsers_colour_scheme(page, suite, picture, scheme):
    await page.emulate_media(color_scheme=scheme)
    await open_docs(page, suite)
    is_dark = await page.evaluate("document.documentElement.classList.contains('dark-mode')")
    assert is_dark is (scheme == "dark")
    await picture(page, f"docs-{scheme}")
    await page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    await page.wait_for_function(
        "dark => document.documentElement.classList.contains('dark-mode') === dark",
        arg=scheme == "light",
    )


async def test_the_demo_account_logs_in_and_a_reload_keeps_it_only_where_asked(page, suite):
    if suite.checkout is None:
        pytest.skip("a deployed suite has no demo account")
    account = json.loads((suite.checkout / ".twelvefold/demo.json").read_text())
    await open_docs(page, suite)
    await page.click("#demo")
    await page.wait_for_selector("#told:has-text('Logged in as')", timeout=TIMEOUT)

    async def try_me() -> str:
        if not await page.is_visible(f"{READY} .try-out__btn"):
            await page.click(f"{READY} .opblock-summary-control")
        await page.click(f"{READY} .try-out__btn")
        await page.click(f"{READY} .execute")
        await page.wait_for_selector(f"{READY} .live-responses-table .response", timeout=TIMEOUT)
        assert await page.is_visible(f"{READY} .response-col_description h5")
        found: str = await page.inner_text(f"{READY} .live-responses-table")
        return found

    shown = await try_me()
    assert account["email"] in shown
    assert " ms" in shown  # how long it took

    await page.reload()
    await page.wait_for_selector(READY, timeout=TIMEOUT)
    assert "401" in await try_me()

    await page.click("#demo")
    await page.wait_for_selector("#told:has-text('Logged in as')", timeout=TIMEOUT)
    await page.check("#keep")
    await page.reload()
    await page.wait_for_selector(READY, timeout=TIMEOUT)
    assert await page.is_checked("#keep")
    assert account["email"] in await try_me()

    await page.uncheck("#keep")
    assert await page.evaluate("localStorage.getItem('authorized')") is None


async def test_operations_can_be_filtered_by_tag(page, suite):
    await open_docs(page, suite)
    await page.fill(".operation-filter-input", "problems")
    await page.wait_for_selector(READY, state="detached", timeout=TIMEOUT)
    assert await page.is_visible("#operations-problems-get_problem_type")


def test_no_other_site_can_ask_for_the_demo_account(suite):
    host = {"Host": "rebound.example"}
    response = httpx.get(f"{suite.url}/docs/demo.json", headers=host)
    assert response.status_code == 404


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_an_email_with_a_long_name_fits_a_narrow_screen(page, picture, axe, scheme):
    content = EmailContent(
        to="a@example.com", name="W" * 100, link=f"https://x.example/{'t' * 200}"
    )
    email = render_email(
        EmailTemplate.EMAIL_CHANGED.value,
        content,
        package="worker",
        job_id=new_id(),
        sender="a@example.com",
        brand=Brand("B" * 60, "#ffd400", "Street 1, 12345 Town"),
    )
    await page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    await page.emulate_media(color_scheme=scheme)
    await page.set_content(email.html)
    wide = await page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROW[0]
    await page.evaluate(axe)
    found = await page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa']})")
    faults = [
        (fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]
    ]
    assert faults == []
    await picture(page, f"email-{scheme}")
