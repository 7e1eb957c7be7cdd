"""Caught mails, for reading: what a recipient's program would show, and what it would not.

Owns how a mail is taken apart. A mail is hostile text: its HTML goes into a frame without
scripts, without an origin and without the network (`FRAME_POLICY`), everything else is text.
Everything here blocks, and belongs to a thread.
"""

from __future__ import annotations

import base64
import email.policy
import email.utils
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from email.message import EmailMessage
from email.parser import BytesHeaderParser, BytesParser
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.mail_catcher import list_emails

# Links open in a new tab, which is an ordinary one; nothing else leaves the frame.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
FRAME_POLICY = (
    f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_MAX_BYTES = 8_388_608  # of a mail that is taken apart here
_HEAD_BYTES = 65_536
_MAX_TEXT = 262_144  # characters of a body
_REMEMBERED = 1_000  # mails whose headers are kept
_NAME = re.compile(r"\d{6,}-[A-Za-z0-9@._+-]{1,80}\.eml")
# A tag is looked for up to the next `<`, not to the end: a stranger wrote the mail.
_HEAD = re.compile(r"<head\b[^<>]*>", re.IGNORECASE)
_REMOTE = re.compile(r"""<img\b[^<>]*\ssrc\s*=\s*+(?:["']\s*+)?(?:https?:)?//""", re.IGNORECASE)
_CID = re.compile(r"""(["'(])cid:([^"')\s>]+)""", re.IGNORECASE)
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_JOB = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")  # our Message-IDs: the job's
_HEADERS = BytesHeaderParser(policy=email.policy.default)
_WHOLE = BytesParser(policy=email.policy.default)  # of this policy every message is EmailMessage
_HIDDEN = frozenset({"x-envelope-from", "x-envelope-to"})


class Mails:
    """The mails of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def state(self) -> int:
        """Changes when a mail was caught or deleted."""
        with suppress(OSError):
            return self._folder.stat().st_mtime_ns
        return 0

    def newest(self, limit: int) -> tuple[list[dict[str, Any]], int]:
        """Summaries, the last one first, and how many there are."""
        paths = list_emails(self._folder)
        shown = [self._summary(path) for path in reversed(paths[-limit:] if limit else [])]
        return [entry for entry in shown if entry], len(paths)

    def one(self, name: str) -> dict[str, Any] | None:
        """Everything but the HTML; None where there is no such mail."""
        path = self._path(name)
        summary = self._summary(path) if path else None
        if path is None or summary is None:
            return None
        content = _read(path)
        if content is None:
            return {**summary, "path": str(path), "too_large": True}
        message = _WHOLE.parsebytes(content)
        text, html = _body(message, "plain"), _body(message, "html")
        job = _JOB.match(_header(message, "Message-ID"))
        return {
            **summary,
            "path": str(path),
            "headers": [
                [key, _clean(value)] for key, value in message.items() if key.lower() not in _HIDDEN
            ],
            "text": text,
            "has_html": html is not None,
            "remote_images": len(_REMOTE.findall(html or "")),
            "attachments": [
                {
                    "number": number,
                    "name": _clean(part.get_filename() or f"part-{number}"),
                    "type": part.get_content_type(),
                    "bytes": len(_bytes(part)),
                }
                for number, part in _attachments(message)
            ],
            "job_id": job[1] if job else None,
            "source": content[:_MAX_TEXT].decode(errors="replace"),
        }

    def html(self, name: str) -> str | None:
        """The document for the frame: its own images put in, its links to open elsewhere."""
        path = self._path(name)
        content = _read(path) if path else None
        if content is None:
            return None
        message = _WHOLE.parsebytes(content)
        html = _body(message, "html")
        if html is None:
            return None
        images = dict(_images(message))
        html = _CID.sub(lambda match: f"{match[1]}{images.get(match[2], 'about:blank')}", html)
        head = _HEAD.search(html)
        at = head.end() if head else 0
        return f'{html[:at]}<base target="_blank">{html[at:]}'

    def attachment(self, name: str, number: int) -> tuple[str, bytes] | None:
        """Name and content."""
        path = self._path(name)
        content = _read(path) if path else None
        if content is None:
            return None
        for found, part in _attachments(_WHOLE.parsebytes(content)):
            if found == number:
                return _clean(part.get_filename() or f"part-{number}"), _bytes(part)
        return None

    def _path(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path if path.is_file() else None

    def _summary(self, path: Path) -> dict[str, Any] | None:
        if path.name not in self._known:
            try:
                with path.open("rb") as file:
                    head = _HEADERS.parsebytes(file.read(_HEAD_BYTES))
                status = path.stat()
            except OSError:
                return None  # deleted meanwhile
            self._known[path.name] = {
                "name": path.name,
                "from": _header(head, "From"),
                "to": _header(head, "X-Envelope-To") or _header(head, "To"),
                "subject": _header(head, "Subject") or "(no subject)",
                "caught": int(status.st_mtime * 1e6),
                "bytes": status.st_size,
            }
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return self._known[path.name]


def _read(path: Path) -> bytes | None:
    """None where it is gone or too large to be taken apart."""
    try:
        return path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None
    except OSError:
        return None


def _header(message: Any, name: str) -> str:
    try:
        return _clean(message[name] or "")
    except (ValueError, IndexError, AttributeError):  # a header that the parser stumbles over
        return "(unreadable)"


def _clean(value: object) -> str:
    """One line, that JSON can hold."""
    text = " ".join(str(value).split())
    return text.encode("utf-8", "replace").decode()[:2_000]


def _body(message: EmailMessage, kind: str) -> str | None:
    try:
        part = message.get_body((kind,))
        content = part.get_content() if part is not None else None
    except (LookupError, KeyError, ValueError, AttributeError):  # charset, encoding: as they please
        return None
    if not isinstance(content, str):
        return None
    return content.encode("utf-8", "replace").decode()[:_MAX_TEXT]


def _parts(message: EmailMessage) -> Iterator[tuple[int, EmailMessage]]:
    for number, part in enumerate(message.walk()):
        if not part.is_multipart():
            yield number, part


def _attachments(message: EmailMessage) -> Iterator[tuple[int, EmailMessage]]:
    for number, part in _parts(message):
        if part.get_filename() or part.get_content_disposition() == "attachment":
            yield number, part


def _images(message: EmailMessage) -> Iterator[tuple[str, str]]:
    for _, part in _parts(message):
        if (kind := part.get_content_type()) in _IMAGES and (identity := part["Content-ID"]):
            data = base64.b64encode(_bytes(part)).decode()
            yield str(identity).strip("<> "), f"data:{kind};base64,{data}"


def _bytes(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
