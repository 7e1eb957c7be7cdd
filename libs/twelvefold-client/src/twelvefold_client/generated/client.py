"""What the generated operations stand on: their description, and the client that performs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from .types import Response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """An operation of the API: its name, and how to read its successful responses."""

    name: str
    takes_key: bool  # whether it takes an Idempotency-Key
    needs_token: bool
    parse: Callable[[httpx.Response], T]


class Caller:
    """Performs operations and waits for them."""

    def _call(self, operation: Operation[T], request: dict[str, Any]) -> Response[T]:
        raise NotImplementedError


class AsyncCaller:
    """Performs operations as coroutines."""

    async def _call(self, operation: Operation[T], request: dict[str, Any]) -> Response[T]:
        raise NotImplementedError
