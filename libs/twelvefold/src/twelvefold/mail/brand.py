"""The brand of emails: name, colour and address, legible in both colour schemes.

Owns the colours of a button and of links. Contrast is at least 4.5 to 1 whatever colour the
settings name (WCAG 2.2, success criterion 1.4.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from twelvefold.settings import BrandSettings

MIN_CONTRAST = 4.5
LIGHT, DARK = "#ffffff", "#1f2933"  # backgrounds of the text
_INK = "#14181d"
_STEPS = 20  # between a colour and white or black
_COLOR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Brand:
    """What the settings MAIL_BRAND_… say. Raises ValueError unless `color` is `#rrggbb`."""

    name: str = "Twelvefold"
    color: str = "#1d4ed8"
    address: str = ""

    @classmethod
    def of(cls, settings: BrandSettings) -> Self:
        """Return the brand that the settings name; its name is by default the suite's."""
        name = settings.mail_brand_name or settings.suite_name
        return cls(name, settings.mail_brand_color, settings.mail_brand_address)

    def __post_init__(self) -> None:
        if not _COLOR.fullmatch(self.color):
            raise ValueError("the colour must be #rrggbb")

    @cached_property
    def on_color(self) -> str:
        """The colour of text on the brand's colour."""
        return max(LIGHT, _INK, key=lambda text: contrast(text, self.color))

    @cached_property
    def link(self) -> str:
        """The colour of links on a light background."""
        return _legible(self.color, LIGHT)

    @cached_property
    def link_in_the_dark(self) -> str:
        """The colour of links on a dark background."""
        return _legible(self.color, DARK)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours `#rrggbb`, from 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _channels(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return red, green, blue


def _luminance(color: str) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4  # noqa: PLR2004  (sRGB)
        for value in (channel / 255 for channel in _channels(color))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _legible(color: str, background: str) -> str:
    """Return the colour, mixed with white or black as far as the background requires."""
    target = max(LIGHT, _INK, key=lambda text: contrast(text, background))
    for step in range(_STEPS + 1):
        mixed = "#" + "".join(
            f"{round(own + (other - own) * step / _STEPS):02x}"
            for own, other in zip(_channels(color), _channels(target), strict=True)
        )
        if contrast(mixed, background) >= MIN_CONTRAST:
            return mixed
    return target
