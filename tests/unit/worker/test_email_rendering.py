"""Rendered emails: complete, equal as text and HTML, and safe with hostile names."""

import re
from uuid import UUID

import pytest

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EmailTemplate
from twelvefold.mail.brand import DARK, LIGHT, MIN_CONTRAST, Brand, contrast
from twelvefold.mail.rendering import render_email

JOB = UUID("01a209b3-1f5e-74e9-a682-3dcf22b37e3e")
SENDER = "Twelvefold <no-reply@mail.example.com>"
# Templates that anyone can have sent to any address.
UNVERIFIED = (EmailTemplate.WELCOME, EmailTemplate.VERIFY, EmailTemplate.CHANGE_EMAIL)
BRAND = Brand()
LINK = "https://example.com/verify-email?token=a&b=c"


def render(template=EmailTemplate.WELCOME, name="Ada", link=LINK, sender=SENDER, brand=BRAND):
    content = EmailContent(to="ada@example.com", name=name, link=link)
    return render_email(
        template.value, content, package="worker", job_id=JOB, sender=sender, brand=brand
    )


@pytest.mark.parametrize("template", EmailTemplate)
def test_every_template_greets_and_carries_the_link_in_both_forms(template):
    email = render(template)
    assert "Hello" in email.text
    assert LINK in email.text
    assert email.html is not None
    assert "Hello" in email.html
    assert LINK.replace("&", "&amp;") in email.html
    assert not re.search(r"\$\w", email.text + email.html), "an unreplaced placeholder"


@pytest.mark.parametrize("template", UNVERIFIED)
def test_an_email_to_an_unverified_address_contains_no_text_of_the_account(template):
    email = render(template, name="Win a prize at https://evil.example")
    assert "evil" not in email.text + (email.html or "") + email.subject
    assert "Hello," in email.text


def test_a_verified_address_is_greeted_by_name_if_there_is_one():
    assert "Hello Ada," in render(EmailTemplate.PASSWORD_CHANGED).text
    assert "Hello," in render(EmailTemplate.RESET, name="").text


def test_the_message_id_follows_from_the_job_and_the_senders_domain():
    assert render().message_id == f"<{JOB}@mail.example.com>"


def test_the_message_id_is_ascii_whatever_the_senders_domain():
    email = render(sender="Twelvefold <no-reply@b\u00fccher.example>")
    assert email.message_id == f"<{JOB}@xn--bcher-kva.example>"


def test_a_hostile_name_is_escaped():
    email = render(
        EmailTemplate.RESET, name='<img src=x onerror="alert(1)">\r\nBcc: victim@example.com'
    )
    assert email.html is not None
    assert "<img" not in email.html
    assert "\nBcc:" not in email.text


def test_an_email_without_a_link_has_no_button():
    email = render(link=None)
    assert email.html is not None
    assert "href" not in email.html


def test_an_email_shows_the_brand_of_the_settings_escaped():
    brand = Brand("M\u00fcller & S\u00f6hne", "#c2410c", "Hauptstra\u00dfe 1, Berlin")
    email = render(brand=brand)
    assert email.html is not None
    assert email.subject == "Welcome to M\u00fcller & S\u00f6hne"
    assert "M\u00fcller &amp; S\u00f6hne" in email.html
    assert "background:#c2410c" in email.html
    for text in (email.html, email.text):
        assert "Hauptstra\u00dfe 1, Berlin" in text
        assert "Twelvefold" not in text


@pytest.mark.parametrize("color", ["#1d4ed8", "#ffff00", "#000000", "#ffffff", "#808080"])
def test_a_brand_of_any_colour_is_legible_in_both_schemes(color):
    brand = Brand(color=color)
    assert contrast(brand.on_color, color) >= MIN_CONTRAST
    assert contrast(brand.link, LIGHT) >= MIN_CONTRAST
    assert contrast(brand.link_in_the_dark, DARK) >= MIN_CONTRAST


def test_a_legible_colour_is_taken_as_it_is():
    assert Brand(color="#1d4ed8").link == "#1d4ed8"


def test_an_email_follows_the_readers_colour_scheme():
    email = render()
    assert email.html is not None
    assert 'name="color-scheme" content="light dark"' in email.html
    assert "prefers-color-scheme: dark" in email.html


def test_a_long_name_without_spaces_may_be_broken_anywhere():
    email = render(EmailTemplate.PASSWORD_CHANGED, name="A" * 100)
    assert email.html is not None
    before = email.html.partition("A" * 100)[0]
    assert "overflow-wrap:anywhere" in before.rpartition("<td")[2]


def test_another_service_keeps_its_templates_in_its_own_package(tmp_path, monkeypatch):
    templates = tmp_path / "shop_of_the_test/templates"
    templates.mkdir(parents=True)
    (templates.parent / "__init__.py").touch()
    (templates / "packed.txt").write_text(
        "Packed by $brand: $parcel\nTrack it\n$greeting\n\nIt is packed: $parcel.\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    content = EmailContent(to="ada@example.com", name="Ada", link=LINK)
    email = render_email(
        "packed",
        content,
        package="shop_of_the_test",
        job_id=JOB,
        sender=SENDER,
        brand=BRAND,
        values={"parcel": "<b>\r\nBcc: 7"},
    )
    assert email.subject == "Packed by Twelvefold: <b> Bcc: 7"
    assert "It is packed: <b> Bcc: 7." in email.text
    assert "It is packed: &lt;b&gt; Bcc: 7." in (email.html or "")
    assert "Hello Ada," in (email.html or "")
