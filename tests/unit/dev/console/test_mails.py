"""Caught emails are parsed as untrusted input."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

import pytest

from twelvefold_dev.console.sources.mails import Mails

PIXEL = b"\x89PNG\r\n\x1a\n-a-pixel"


def put(folder: Path, content: bytes, number: int = 1) -> str:
    name = f"{number:06}-ada@example.com.eml"
    (folder / name).write_bytes(b"X-Envelope-To: ada@example.com\r\n" + content)
    return name


def mail(html: str | None = None, text: str = "plain words", **headers: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = headers.pop("subject", "Hello")
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def test_the_newest_email_comes_first(tmp_path) -> None:
    for number in (1, 2, 3):
        put(tmp_path, mail(subject=f"mail {number}").as_bytes(), number)
    items, total = Mails(tmp_path).newest(2)
    assert ([one["subject"] for one in items], total) == (["mail 3", "mail 2"], 3)
    assert items[0]["to"] == "ada@example.com"


def test_links_open_new_tabs_and_embedded_images_are_inlined(tmp_path) -> None:
    message = mail('<html><head></head><img src="cid:logo"><img src="cid:none"></html>')
    message.get_payload()[1].add_related(PIXEL, "image", "png", cid="<logo>")  # type: ignore[index, union-attr]
    html = Mails(tmp_path).html(put(tmp_path, message.as_bytes()))
    assert html is not None
    assert html.startswith('<html><head><base target="_blank">')
    assert 'src="data:image/png;base64,' in html
    assert 'src="about:blank"' in html


def test_remote_images_are_counted(tmp_path) -> None:
    html = "<img src='https://a.example/x.png'><IMG width=1 SRC=//b.example/y><img src='data:,'>"
    found = Mails(tmp_path).one(put(tmp_path, mail(html).as_bytes()))
    assert found is not None
    assert found["remote_images"] == 2


def test_an_email_names_the_job_that_sent_it(tmp_path) -> None:
    job = "01a213d0-ed13-7012-9e7e-20525c5d44d0"
    name = put(tmp_path, mail(Message_ID=f"<{job}@twelvefold.localhost>").as_bytes())
    found = Mails(tmp_path).one(name)
    assert found is not None
    assert found["job_id"] == job


def test_attachments_are_returned_unchanged(tmp_path) -> None:
    message = mail()
    message.add_attachment(b"<script>", maintype="text", subtype="html", filename="a\u202eb.html")
    mails, name = Mails(tmp_path), put(tmp_path, message.as_bytes())
    found = mails.one(name)
    assert found is not None
    (attachment,) = found["attachments"]
    assert mails.attachment(name, attachment["number"]) == (attachment["name"], b"<script>")
    assert mails.attachment(name, 99) is None


@pytest.mark.parametrize(
    "name", ["../secrets.json", "000001-..%2f.eml", "/etc/passwd", "000001-a.eml/../x", "", "x.eml"]
)
def test_no_name_refers_to_a_file_outside_the_folder(tmp_path, name) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()
    (tmp_path / "secrets.json").write_text("{}")
    mails = Mails(folder)
    assert (mails.one(name), mails.html(name), mails.attachment(name, 0)) == (None, None, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff" * 500,
        b"Subject: =?utf-8?b?////?=\r\n\r\nx",
        b"Subject: =?unknown?q?x?=\r\nFrom: <<>>,;\r\nTo: @\r\n\r\nx",
        b"Content-Type: text/html; charset=nonsense\r\n\r\n<p>\xff",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html",
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
    ],
)
def test_an_invalid_email_is_shown_without_an_error(tmp_path, content) -> None:
    mails, name = Mails(tmp_path), put(tmp_path, content)
    assert mails.newest(10)[1] == 1
    found = mails.one(name)
    assert found is not None
    assert isinstance(found["source"], str)
    mails.html(name)


def test_an_email_that_is_too_large_is_listed_but_not_parsed(tmp_path) -> None:
    name = put(tmp_path, mail().as_bytes() + b"x" * 9_000_000)
    found = Mails(tmp_path).one(name)
    assert found is not None
    assert (found["too_large"], found["subject"]) == (True, "Hello")
