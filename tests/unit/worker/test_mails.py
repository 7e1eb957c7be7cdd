"""The words that leave us: complete, the same in both forms, and safe with strangers' names."""

import re
from uuid import UUID

import pytest

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.jobs import EmailTemplate
from worker.mails import compose

JOB = UUID("01a209b3-1f5e-74e9-a682-3dcf22b37e3e")
SENDER = "Twelvefold <no-reply@mail.example.com>"
LINK = "https://example.com/verify-email?token=a&b=c"


def letter(template=EmailTemplate.WELCOME, name="Ada", link=LINK):
    content = EmailContent(to="ada@example.com", name=name, link=link)
    return compose(template, content, job=JOB, sender=SENDER)


@pytest.mark.parametrize("template", EmailTemplate)
def test_every_template_greets_by_name_and_carries_the_link_in_both_forms(template):
    made = letter(template)
    assert "Hello Ada," in made.text
    assert LINK in made.text
    assert made.html is not None
    assert "Hello Ada," in made.html
    assert LINK.replace("&", "&amp;") in made.html
    assert not re.search(r"\$\w", made.text + made.html), "a placeholder was left"


def test_the_message_id_follows_from_the_job_and_the_senders_domain():
    assert letter().message_id == f"<{JOB}@mail.example.com>"


def test_a_hostile_name_stays_text():
    made = letter(name='<img src=x onerror="alert(1)">\r\nBcc: victim@example.com')
    assert made.html is not None
    assert "<img" not in made.html
    assert "\nBcc:" not in made.text


def test_without_a_link_no_button_is_shown():
    made = letter(link=None)
    assert made.html is not None
    assert "href" not in made.html
