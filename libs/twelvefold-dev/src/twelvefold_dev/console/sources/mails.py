"""The caught emails: their content, headers, source and attachments; search and deletion.

Owns the parsing. An email is untrusted input: its HTML is shown in a frame without scripts, origin
and network (`FRAME_POLICY`), all other parts as text. All methods block and must run in a thread.
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
from itertools import islice
from pathlib import Path
from typing import Any

from twelvefold_dev.servers.mail_catcher import list_emails

from .mail_html import Scheme, find_links, prepare_frame

# Links may open a new tab, which has no sandbox; everything else stays within the frame.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
FRAME_POLICY = (
    f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_MAX_BYTES = 8_388_608  # of an email that is parsed
_MAX_HEADER_BYTES = 65_536
_MAX_TEXT = 262_144  # characters of a body
_MAX_SUMMARIES = 1_000  # cached
_MAX_SEARCHED = 16_384  # characters of a body that a search reads
_MAX_WORDS = 16
_NAME = re.compile(r"\d{6,}-[A-Za-z0-9@._+-]{1,80}\.eml")
# Tags are matched up to the next `<` only, which bounds the time for hostile HTML.
_REMOTE = re.compile(r"""<img\b[^<>]*\ssrc\s*=\s*+(?:["']\s*+)?(?:https?:)?//""", re.IGNORECASE)
_CID = re.compile(r"""(["'(])cid:([^"')\s>]+)""", re.IGNORECASE)
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
# The Message-ID of the suite's emails contains the id of the job that sent them.
_JOB = re.compile(r"<([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})@")
_HEADER_PARSER = BytesHeaderParser(policy=email.policy.default)
_PARSER = BytesParser(policy=email.policy.default)  # this policy makes each message EmailMessage
_HIDDEN = frozenset({"x-envelope-from", "x-envelope-to"})


class Mails:
    """The emails of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._summaries: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._searched: OrderedDict[str, str] = OrderedDict()  # text in lower case by name

    def state(self) -> int:
        """Return the time of the last change of the folder, in nanoseconds since the epoch."""
        with suppress(OSError):
            return self._folder.stat().st_mtime_ns
        return 0

    def newest(self, limit: int, words: str = "") -> tuple[list[dict[str, Any]], int]:
        """Return the summaries of the newest emails, the last first, and the number of all.

        Only those that contain all `words`, in sender, recipient, subject or text.
        """
        paths = list_emails(self._folder)
        wanted = words.lower().split()[:_MAX_WORDS]
        matching = (path for path in reversed(paths) if self._contains(path, wanted))
        summaries = map(self._summary, islice(matching, limit))
        return [entry for entry in summaries if entry], len(paths)

    def delete(self, name: str) -> bool:
        """Delete an email and return whether it existed."""
        path = self._path(name)
        if path is None:
            return False
        path.unlink(missing_ok=True)
        self._summaries.pop(name, None)
        self._searched.pop(name, None)
        return True

    def delete_all(self) -> int:
        """Delete all emails that were caught until now and return their number."""
        return sum(self.delete(path.name) for path in list_emails(self._folder))

    def find(self, to: str, words: str, after: str) -> dict[str, Any] | None:
        """Return the newest email to the address `to` with all `words`, caught later than the
        email `after` (a name, or empty), or None.
        """
        address = to.lower()
        for path in reversed(list_emails(self._folder)):
            if path.name <= after:
                return None
            summary = self._summary(path)
            if summary is None or address not in _addresses(summary["to"]):
                continue
            if self._contains(path, words.lower().split()[:_MAX_WORDS]):
                return self.one(path.name)
        return None

    def _contains(self, path: Path, words: list[str]) -> bool:
        if not words:
            return True
        if path.name not in self._searched:
            summary, content = self._summary(path) or {}, _read(path)
            message = _PARSER.parsebytes(content) if content is not None else None
            parts = [summary.get("from"), summary.get("to"), summary.get("subject")]
            if message is not None:
                parts.append(_body(message, "plain") or _body(message, "html"))
            self._searched[path.name] = "\n".join(filter(None, parts))[:_MAX_SEARCHED].lower()
            if len(self._searched) > _MAX_SUMMARIES:
                self._searched.popitem(last=False)
        return all(word in self._searched[path.name] for word in words)

    def one(self, name: str) -> dict[str, Any] | None:
        """Return an email without its HTML, or None where it does not exist."""
        path = self._path(name)
        summary = self._summary(path) if path else None
        if path is None or summary is None:
            return None
        content = _read(path)
        if content is None:
            return {**summary, "path": str(path), "too_large": True}
        message = _PARSER.parsebytes(content)
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
            "links": find_links(html, text),
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

    def html(self, name: str, scheme: Scheme | None = None) -> str | None:
        """Return the HTML for the frame, with embedded images inlined and links to new tabs.

        `scheme` is the colour scheme that it shows. None where the email does not exist or contains
        no HTML.
        """
        path = self._path(name)
        content = _read(path) if path else None
        if content is None:
            return None
        message = _PARSER.parsebytes(content)
        html = _body(message, "html")
        if html is None:
            return None
        images = dict(_images(message))
        html = _CID.sub(lambda match: f"{match[1]}{images.get(match[2], 'about:blank')}", html)
        return prepare_frame(html, scheme)

    def attachment(self, name: str, number: int) -> tuple[str, bytes] | None:
        """Return name and content of an attachment, or None where it does not exist."""
        path = self._path(name)
        content = _read(path) if path else None
        if content is None:
            return None
        for index, part in _attachments(_PARSER.parsebytes(content)):
            if index == number:
                return _clean(part.get_filename() or f"part-{number}"), _bytes(part)
        return None

    def _path(self, name: str) -> Path | None:
        if not _NAME.fullmatch(name):
            return None
        path = self._folder / name
        return path if path.is_file() else None

    def _summary(self, path: Path) -> dict[str, Any] | None:
        if path.name not in self._summaries:
            try:
                with path.open("rb") as file:
                    head = _HEADER_PARSER.parsebytes(file.read(_MAX_HEADER_BYTES))
                status = path.stat()
            except OSError:
                return None  # deleted in the meantime
            self._summaries[path.name] = {
                "name": path.name,
                "from": _header(head, "From"),
                "to": _header(head, "X-Envelope-To") or _header(head, "To"),
                "subject": _header(head, "Subject") or "(no subject)",
                "caught": int(status.st_mtime * 1e6),
                "bytes": status.st_size,
            }
            if len(self._summaries) > _MAX_SUMMARIES:
                self._summaries.popitem(last=False)
        return self._summaries[path.name]


def _read(path: Path) -> bytes | None:
    """Return the content, or None where the file was deleted or is too large to be parsed."""
    try:
        return path.read_bytes() if path.stat().st_size <= _MAX_BYTES else None
    except OSError:
        return None


def _addresses(recipients: str) -> list[str]:
    """Return the addresses of an envelope or a header in lower case."""
    pairs = email.utils.getaddresses([recipients])
    return [address.lower() for _, address in pairs]


def _header(message: Any, name: str) -> str:
    try:
        return _clean(message[name] or "")
    except (ValueError, IndexError, AttributeError):  # the parser fails on some invalid headers
        return "(unreadable)"


def _clean(value: object) -> str:
    """Return `value` as one line without lone surrogates, at most 2,000 characters."""
    text = " ".join(str(value).split())
    return text.encode("utf-8", "replace").decode()[:2_000]


def _body(message: EmailMessage, kind: str) -> str | None:
    try:
        part = message.get_body((kind,))
        content = part.get_content() if part is not None else None
    except (LookupError, KeyError, ValueError, AttributeError):  # invalid charset or encoding
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
