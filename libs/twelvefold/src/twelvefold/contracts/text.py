"""Text from outside: which characters are kept, how white space is folded, how passwords compare.

The sets are code points, not categories of `unicodedata`: its tables differ between the versions
of Python, and with them what would be refused. A character that an interpreter does not know yet,
such as a new emoji, is a character like any other.
"""

from __future__ import annotations

import re
import unicodedata

MIN_PASSWORD_LENGTH = 8  # characters, normalised, as the next
MAX_PASSWORD_LENGTH = 256
# Of what a client sends: canonical composition makes one character of at most four.
MAX_RAW_PASSWORD_LENGTH = 4 * MAX_PASSWORD_LENGTH

_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(  # Unicode 16.0, section 23.7: stable for ever
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_FORBIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # control characters (category Cc, stable for ever)
    "\u202a-\u202e\u2066-\u2069"  # bidirectional overrides, embeddings, isolates (UAX 9)
    "\ud800-\udfff"  # half a character: UTF-8 cannot say it
    f"{_NONCHARACTERS}]"
)
# White_Space of Unicode without the control characters.
_SPACES = re.compile("[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


def has_forbidden_characters(text: str) -> bool:
    """Whether `text` holds what would break a line, reorder what stands around it, or not encode."""
    return _FORBIDDEN.search(text) is not None


def remove_forbidden_characters(text: str) -> str:
    """Return `text` without what `has_forbidden_characters` finds."""
    return _FORBIDDEN.sub("", text)


def fold_spaces(text: str) -> str:
    """Return `text` with one space for each run of white space, and none at its ends."""
    return _SPACES.sub(" ", text).strip(" ")


def normalize_password(password: str) -> str:
    """Return the NFKC form, which each keyboard's spelling of a password has in common.

    NIST SP 800-63B-4, section 3.1.1.2. Longer text than any password is returned as it is: the
    work of normalising grows with the square of a run of combining characters.
    """
    if len(password) > MAX_RAW_PASSWORD_LENGTH:
        return password
    return unicodedata.normalize("NFKC", password)
