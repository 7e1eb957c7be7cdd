"""The HTML of an email: the preview of its colour schemes, and its links.

Owns the interpretation of markup; an email is untrusted input, and nothing here is executed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from html.parser import HTMLParser
from typing import Literal

Scheme = Literal["light", "dark"]
MAX_LINKS = 50
_MAX_LINK = 2_000  # characters
_SCHEME_QUERY = re.compile(
    r"\(\s{0,8}prefers-color-scheme\s{0,8}:\s{0,8}(light|dark)\s{0,8}\)", re.IGNORECASE
)
# Tags are matched up to the next `<` only, which bounds the time for hostile HTML.
_HEAD = re.compile(r"<head\b[^<>]*>", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"']+")
_ALWAYS, _NEVER = "(min-width: 0)", "(max-width: 0)"


def prepare_frame(html: str, scheme: Scheme | None) -> str:
    """Return `html` for the frame: links open a new tab, and media queries see `scheme`.

    A frame cannot choose the scheme of its document in every browser, so the queries are answered
    in the text. None leaves them to the browser.
    """
    if scheme is not None:
        html = _SCHEME_QUERY.sub(
            lambda match: _ALWAYS if match[1].lower() == scheme else _NEVER, html
        )
    head = _HEAD.search(html)
    at = head.end() if head else 0
    style = f"<style>:root{{color-scheme:{scheme}}}</style>" if scheme else ""
    return f'{html[:at]}<base target="_blank">{style}{html[at:]}'


def find_links(html: str | None, text: str | None) -> list[str]:
    """Return the distinct http links of an email in their order, at most MAX_LINKS."""
    links = [*(_hrefs(html) if html else []), *_URL.findall(text or "")]
    found = dict.fromkeys(link.rstrip(".,;:!?)") for link in links if len(link) <= _MAX_LINK)
    return list(found)[:MAX_LINKS]


def _hrefs(html: str) -> list[str]:
    parser = _Links()
    with suppress(AssertionError):  # the parser fails on some invalid declarations
        parser.feed(html)
    return parser.links


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a" or len(self.links) >= MAX_LINKS:
            return
        for name, value in attrs:
            if name == "href" and value and _URL.match(value.strip()):
                self.links.append(value.strip())
