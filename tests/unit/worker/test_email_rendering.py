"""The words that leave us: complete, the same in both forms, and safe with strangers' names."""

import re
from uuid import UUID

import pytest

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EmailTemplate
from worker.service.email_rendering import render_email

JOB = UUID("01a209b3-1f5e-74e9-a682-3dcf22b37e3e")
SENDER = "Twelvefold <no-reply@mail.example.com>"
# What anybody can have sent to an address of their choice.
UNPROVEN = (EmailTemplate.WELCOME, EmailTemplate.VERIFY, EmailTemplate.CHANGE_EMAIL)
LINK = "https://example.com/verify-email?token=a&b=c"


def letter(template=EmailTemplate.WELCOME, name="Ada", link=LINK):
    content = EmailContent(to="ada@example.com", name=name, link=link)
    return render_email(template, content, job_id=JOB, sender=SENDER)


@pytest.mark.parametrize("template", EmailTemplate)
def test_every_template_greets_and_carries_the_link_in_both_forms(template):
    made = letter(template)
    assert "Hello" in made.text
    assert LINK in made.text
    assert made.html is not None
    assert "Hello" in made.html
    assert LINK.replace("&", "&amp;") in made.html
    assert not re.search(r"\$\w", made.text + made.html), "a placeholder was left"


@pytest.mark.parametrize("template", UNPROVEN)
def test_an_address_that_nobody_has_proven_reads_no_words_of_the_account(template):
    made = letter(template, name="Win a prize at https://evil.example")
    assert "evil" not in made.text + (made.html or "") + made.subject
    assert "Hello," in made.text


def test_who_has_proven_the_address_is_greeted_by_name_and_others_without_a_gap():
    assert "Hello Ada," in letter(EmailTemplate.PASSWORD_CHANGED).text
    assert "Hello," in letter(EmailTemplate.RESET, name="").text


def test_the_message_id_follows_from_the_job_and_the_senders_domain():
    assert letter().message_id == f"<{JOB}@mail.example.com>"


def test_the_message_id_is_ascii_whatever_the_senders_domain():
    content = EmailContent(to="ada@example.com", name="Ada", link=LINK)
    sender = "Twelvefold <no-reply@b\u00fccher.example>"
    made = render_email(EmailTemplate.WELCOME, content, job_id=JOB, sender=sender)
    assert made.message_id == f"<{JOB}@xn--bcher-kva.example>"


def test_a_hostile_name_stays_text():
    made = letter(
        EmailTemplate.RESET, name='<img src=x onerror="alert(1)">\r\nBcc: victim@example.com'
    )
    assert made.html is not None
    assert "<img" not in made.html
    assert "\nBcc:" not in made.text


def test_without_a_link_no_button_is_shown():
    made = letter(link=None)
    assert made.html is not None
    assert "href" not in made.html
