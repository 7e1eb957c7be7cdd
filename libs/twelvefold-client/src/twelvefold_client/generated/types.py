"""Types that all operations and models share."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import BinaryIO, Generic, Literal, TypeVar

T = TypeVar("T")


class Unset:
    """The type of a member that is left out."""

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Unset = Unset()

# A body of bytes: themselves, the path of a file, or an open file that can seek.
Upload = bytes | str | PathLike[str] | BinaryIO


@dataclass(frozen=True, slots=True)
class Response(Generic[T]):
    """A successful response: its content as a model, and its header fields."""

    status: int
    headers: Mapping[str, str]
    parsed: T


__all__ = ["UNSET", "Response", "Unset", "Upload"]
