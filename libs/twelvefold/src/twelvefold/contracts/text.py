"""Untrusted text: forbidden characters, white space, and normalisation of passwords.

The sets are code points, not categories of `unicodedata`, whose tables differ between versions of
Python: every version must refuse the same characters. A character that the interpreter does not
know, such as a new emoji, is allowed.
"""

from __future__ import annotations

import re
import unicodedata

MIN_PASSWORD_LENGTH = 8  # characters after normalisation, as for the maximum
MAX_PASSWORD_LENGTH = 256
# Before normalisation: canonical composition makes one character of at most four.
MAX_RAW_PASSWORD_LENGTH = 4 * MAX_PASSWORD_LENGTH

_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(  # Unicode 16.0, section 23.7; never changes
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_FORBIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters (category Cc, never changes)
    "\u202a-\u202e\u2066-\u2069"  # bidirectional overrides, embeddings, isolates (UAX 9)
    "\ud800-\udfff"  # surrogates, which UTF-8 cannot encode
    f"{_NONCHARACTERS}]"
)
# White_Space of Unicode without the control characters.
_SPACES = re.compile("[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def has_forbidden_characters(text: str) -> bool:
    """Return whether `text` holds control, reordering or unencodable characters."""
    return _FORBIDDEN.search(text) is not None


def remove_forbidden_characters(text: str) -> str:
    """Return `text` without the characters that `has_forbidden_characters` detects."""
    return _FORBIDDEN.sub("", text)


def fold_spaces(text: str) -> str:
    """Return `text` with one space for each run of white space, and none at either end."""
    return _SPACES.sub(" ", text).strip(" ")


def normalize_password(password: str) -> str:
    """Return the NFKC form of `password`, which is the same for each keyboard.

    See NIST SP 800-63B-4, section 3.1.1.2. Returns text that is too long for a password unchanged,
    because the time of normalisation is quadratic in a run of combining characters.
    """
    if len(password) > MAX_RAW_PASSWORD_LENGTH:
        return password
    return unicodedata.normalize("NFKC", password)
