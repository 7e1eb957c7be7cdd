"""The letters that the worker writes: templates, text and HTML of the same words.

Owns wording and form. A template's first line is the subject, its second the label of the link,
the rest are paragraphs. Values are escaped in HTML; in text they cannot carry a line break. What
goes to an address that may be a stranger's greets nobody by name: a name is free text.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from email.utils import parseaddr
from functools import cache
from importlib.resources import files
from string import Template
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.email_address import ascii_domain
from twelvefold.contracts.jobs import EmailTemplate
from twelvefold.mail.mailer import Email

_TEMPLATES = files("worker") / "templates"


@dataclass(frozen=True, slots=True)
class _Template:
    subject: str
    label: str
    paragraphs: tuple[str, ...]


@cache
def _template(name: str) -> _Template:
    content = (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")
    subject, label, body = content.split("\n", 2)
    paragraphs = tuple(part.strip() for part in body.split("\n\n") if part.strip())
    return _Template(subject, label, paragraphs)


@cache
def _part(name: str) -> Template:
    return Template((_TEMPLATES / name).read_text(encoding="utf-8"))


def render_email(
    template: EmailTemplate, content: EmailContent, *, job: UUID, sender: str
) -> Email:
    """The letter of one job. Its Message-ID follows from the job, so that a second sending of the
    same letter can be recognised (RFC 5322 section 3.6.4).
    """
    letter = _template(template.value)
    domain = ascii_domain(parseaddr(sender)[1].rpartition("@")[2]) or "localhost"
    name = " ".join(content.name.split())
    greeting = f"Hello {name}," if name else "Hello,"
    paragraphs = [Template(part).substitute(greeting=greeting) for part in letter.paragraphs]
    text = "\n\n".join(paragraphs)
    escaped = [
        f"<p>{Template(part).substitute(greeting=html.escape(greeting))}</p>"
        for part in letter.paragraphs
    ]
    if content.link:
        text += f"\n\n{letter.label}:\n{content.link}"
        link = html.escape(content.link)
        escaped.append(_part("button.html").substitute(link=link, label=letter.label))
    body = _part("layout.html").substitute(subject=letter.subject, body="\n".join(escaped))
    return Email(
        to=content.to,
        subject=letter.subject,
        text=text + "\n",
        html=body,
        message_id=f"<{job}@{domain}>",
        # RFC 3834: nobody's out-of-office should answer.
        headers={"Auto-Submitted": "auto-generated"},
    )
