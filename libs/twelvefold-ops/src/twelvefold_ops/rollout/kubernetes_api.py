"""Calls of the API server: reads are tried again for some seconds, errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx2 as httpx
from lightkube import ApiError, AsyncClient

from .model import ClusterError

T = TypeVar("T")
NOT_FOUND = 404
_SERVER_ERROR, _TOO_MANY = 500, 429
_TRIES = 4


class KubernetesApi:
    """An API server, seen from one namespace."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def listed(self, kind: Any, labels: Mapping[str, str]) -> list[Any]:
        """Objects of a kind by their labels. Raises ClusterError."""

        async def call() -> list[Any]:
            return [one async for one in self.client.list(kind, labels=dict(labels))]

        return await self.read(call)

    async def read(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer of a call that may be repeated. Raises ClusterError."""
        for tried in range(_TRIES):
            try:
                return await call()
            except (ApiError, httpx.HTTPError) as error:
                code = code_of(error)
                lasting = code not in {0, _TOO_MANY} and code < _SERVER_ERROR
                if lasting or tried == _TRIES - 1:
                    raise ClusterError(_said(error)) from error
            await asyncio.sleep(0.5 * 2**tried)
        raise AssertionError("the loop returns or raises")

    async def change(self, call: Awaitable[object]) -> None:
        """Awaits a change, once; what is gone already is no error. Raises ClusterError."""
        try:
            await call
        except (ApiError, httpx.HTTPError) as error:
            if code_of(error) != NOT_FOUND:
                raise ClusterError(_said(error)) from error


def code_of(error: BaseException | None) -> int:
    """The status of an answer; 0 where there was none."""
    return int(error.status.code or 0) if isinstance(error, ApiError) else 0


def _said(error: Exception) -> str:
    if isinstance(error, ApiError):
        return str(error.status.message)
    return f"the API server does not answer ({type(error).__name__})"
