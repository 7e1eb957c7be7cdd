"""Every mailed link, followed as its reader does: open it, press the button, see the effect."""

import re
import uuid
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest

from twelvefold.contracts.jobs import EmailTemplate

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "a whole new battery of horses"


class Links(HTMLParser):
    """Where the links of an email's HTML lead."""

    def __init__(self, source):
        super().__init__()
        self.targets = set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.targets.add(dict(attrs)["href"])


class Page(HTMLParser):
    """What a reader's browser would send from the page's form."""

    def __init__(self, source):
        super().__init__()
        self.fields, self.action = {}, None
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "form":
            self.action = found["action"]
        if tag == "input":
            self.fields[found["name"]] = found.get("value", "")


@pytest.fixture
def inbox(caught_mail, suite):
    """Waits for the newest email of a subject to an address, and takes the link out of it."""

    async def link(address, subject):
        mail = await caught_mail.wait_for(
            lambda found: found["To"] == address and found["Subject"] == subject, timeout=30
        )
        text = mail.get_body(("plain",)).get_content()
        (found,) = re.findall(r"https?://\S+", text)
        assert urlsplit(found).netloc == urlsplit(suite.url).netloc
        return found

    return link


async def follow(client, link, **fields):
    """Opens the link and sends its form."""
    shown = await client.get(link)
    assert shown.status_code == 200, shown.text
    page = Page(shown.text)
    response = await client.post(urljoin(link, page.action), data={**page.fields, **fields})
    assert "<script" not in shown.text + response.text
    return response


async def register(client):
    address = f"ada.{uuid.uuid4().hex[:12]}@example.com"
    body = {"email": address, "name": "Ada", "password": PASSWORD}
    assert (await client.post("/api/v1/users", json=body)).status_code == 201
    return address


async def log_in(client, address, password=PASSWORD):
    data = {"grant_type": "password", "username": address, "password": password}
    return await client.post("/api/v1/auth/token", data=data)


async def bearer(client, address, password=PASSWORD):
    response = await log_in(client, address, password)
    assert response.status_code == 200, response.text
    return {"Authorization": f"Bearer {response.json()['access_token']}"}


async def test_the_welcome_letter_leads_to_a_verified_address(client, inbox):
    address = await register(client)
    link = await inbox(address, "Welcome to Twelvefold")
    headers = await bearer(client, address)
    assert (await client.get(link)).status_code == 200  # a scanner of mails changes nothing
    assert not (await client.get("/api/v1/users/me", headers=headers)).json()["email_verified"]
    assert (await follow(client, link)).status_code == 200
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email_verified"]


async def test_the_verification_letter_leads_to_a_verified_address(client, inbox):
    address = await register(client)
    response = await client.post("/api/v1/auth/email-verifications", json={"email": address})
    assert response.status_code == 202
    assert (await follow(client, await inbox(address, "Confirm your address"))).status_code == 200
    headers = await bearer(client, address)
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email_verified"]


async def test_the_reset_letter_leads_to_a_new_password(client, inbox):
    address = await register(client)
    await client.post("/api/v1/auth/password-resets", json={"email": address})
    link = await inbox(address, "Choose a new password")
    refused = await follow(client, link, password="password")
    assert refused.status_code == 422
    assert "most common passwords" in refused.text
    assert (await follow(client, link, password=NEW_PASSWORD)).status_code == 200
    assert (await log_in(client, address)).status_code == 400
    assert (await log_in(client, address, NEW_PASSWORD)).status_code == 200
    assert (await follow(client, link, password=NEW_PASSWORD)).status_code == 400


async def test_a_stolen_address_comes_back_by_the_letter_to_it(client, inbox):
    address, other = await register(client), f"thief.{uuid.uuid4().hex[:12]}@example.com"
    await follow(client, await inbox(address, "Welcome to Twelvefold"))
    headers = await bearer(client, address)
    body = {"email": other, "password": PASSWORD}
    response = await client.post("/api/v1/users/me/email", json=body, headers=headers)
    assert response.status_code == 202, response.text
    changed = await follow(client, await inbox(other, "Confirm your new address"))
    assert changed.status_code == 200
    assert (await log_in(client, other)).status_code == 200

    undone = await follow(client, await inbox(address, "Your address was changed"))
    assert undone.status_code == 200
    assert (await client.get("/api/v1/users/me", headers=headers)).status_code == 401
    assert (await log_in(client, other)).status_code == 400
    link = await inbox(address, "Choose a new password")
    assert (await follow(client, link, password=NEW_PASSWORD)).status_code == 200
    headers = await bearer(client, address, NEW_PASSWORD)
    assert (await client.get("/api/v1/users/me", headers=headers)).json()["email"] == address


async def change_password(client, address):
    headers = await bearer(client, address)
    body = {"current": PASSWORD, "new": NEW_PASSWORD}
    response = await client.post("/api/v1/users/me/password", json=body, headers=headers)
    assert response.status_code == 204, response.text


async def test_every_link_of_every_email_leads_to_a_page(client, inbox, caught_mail):
    """One account receives an email of each template; no link of any leads nowhere."""
    address, other = await register(client), f"new.{uuid.uuid4().hex[:12]}@example.com"
    await follow(client, await inbox(address, "Welcome to Twelvefold"))
    await client.post("/api/v1/auth/password-resets", json={"email": address})
    await inbox(address, "Choose a new password")
    headers = await bearer(client, address)
    await client.post(
        "/api/v1/users/me/email", json={"email": other, "password": PASSWORD}, headers=headers
    )
    await follow(client, await inbox(other, "Confirm your new address"))
    await inbox(address, "Your address was changed")
    await change_password(client, other)
    await caught_mail.wait_for(
        lambda found: found["To"] == other and found["Subject"] == "Your password was changed",
        timeout=30,
    )
    unconfirmed = await register(client)
    await client.post("/api/v1/auth/email-verifications", json={"email": unconfirmed})
    await inbox(unconfirmed, "Confirm your address")

    received = [mail for to in (address, other, unconfirmed) for mail in caught_mail.to(to)]
    assert len({mail["Subject"] for mail in received}) == len(EmailTemplate)
    for mail in received:
        text = set(re.findall(r"https?://\S+", mail.get_body(("plain",)).get_content()))
        links = Links(mail.get_body(("html",)).get_content()).targets
        assert links == text, mail["Subject"]
        for link in links:
            shown = await client.get(link)
            assert shown.status_code == 200, (mail["Subject"], shown.text)
