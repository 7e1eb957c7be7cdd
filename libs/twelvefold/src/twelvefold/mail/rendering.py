"""Emails from templates, with the same content as plain text and HTML.

A service keeps its templates in its own package, as `templates/NAME.txt`. The first line is the
subject, the second the label of the link, the rest are paragraphs. `$brand` stands for the brand's
name in the subject, `$greeting` in a paragraph greets the recipient, and a service may give values
for names of its own. Values are escaped in HTML and contain no line break in text. Emails to an
unverified address contain no name, because a name is free text of the person who entered it.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from functools import cache
from importlib.resources import files
from string import Template
from types import MappingProxyType
from uuid import UUID

from twelvefold.contracts.accounts import EmailContent
from twelvefold.contracts.email_address import ascii_domain

from .brand import Brand
from .mailer import Email


@dataclass(frozen=True, slots=True)
class _Template:
    subject: str
    label: str
    paragraphs: tuple[str, ...]


@cache
def _load_template(package: str, name: str) -> _Template:
    content = (files(package) / "templates" / f"{name}.txt").read_text(encoding="utf-8")
    subject, label, body = content.split("\n", 2)
    paragraphs = tuple(part.strip() for part in body.split("\n\n") if part.strip())
    return _Template(subject, label, paragraphs)


@cache
def _load_part(name: str) -> Template:
    part = files("twelvefold.mail") / "templates" / name
    return Template(part.read_text(encoding="utf-8"))


def render_email(
    template: str,
    content: EmailContent,
    *,
    package: str,
    job_id: UUID,
    sender: str,
    brand: Brand,
    values: Mapping[str, str] = MappingProxyType({}),
) -> Email:
    """Return the email of one job, with the brand's name, colour and address.

    `template` is the name of one in `package`; `values` stand for `$name` in its subject and
    paragraphs. The Message-ID derives from the job, so that a repeated email can be recognised
    (RFC 5322 section 3.6.4). Raises FileNotFoundError without the template, KeyError where it has
    a name without a value.
    """
    source = _load_template(package, template)
    domain = ascii_domain(parseaddr(sender)[1].rpartition("@")[2]) or "localhost"
    name = " ".join(content.name.split())
    greeting = f"Hello {name}," if name else "Hello,"
    plain = {key: " ".join(value.split()) for key, value in values.items()}
    subject = Template(source.subject).substitute(plain, brand=brand.name)
    footer = [part for part in (brand.name, brand.address) if part]
    plain["greeting"] = greeting
    shown = {key: html.escape(value) for key, value in plain.items()}
    paragraphs = [Template(part).substitute(plain) for part in source.paragraphs]
    text = "\n\n".join(paragraphs)
    escaped = [f"<p>{Template(part).substitute(shown)}</p>" for part in source.paragraphs]
    if content.link:
        text += f"\n\n{source.label}:\n{content.link}"
        link = html.escape(content.link)
        button = _load_part("button.html").substitute(
            link=link,
            label=source.label,
            color=brand.color,
            on_color=brand.on_color,
            link_color=brand.link,
        )
        escaped.append(button)
    body = _load_part("layout.html").substitute(
        subject=html.escape(subject),
        body="\n".join(escaped),
        brand=html.escape(brand.name),
        color=brand.color,
        link_in_the_dark=brand.link_in_the_dark,
        footer="<br>".join(map(html.escape, footer)),
    )
    return Email(
        to=content.to,
        subject=subject,
        text="\n\n".join([text, "-- \n" + "\n".join(footer)]) + "\n",
        html=body,
        message_id=f"<{job_id}@{domain}>",
        # RFC 3834: suppresses automatic responses.
        headers={"Auto-Submitted": "auto-generated"},
    )
