"""Lists page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from .generated.types import Unset

T_co = TypeVar("T_co", covariant=True)


class Page(Protocol[T_co]):
    """One page of a list."""

    @property
    def items(self) -> Sequence[T_co]: ...

    @property
    def next_cursor(self) -> str | Unset | None: ...
