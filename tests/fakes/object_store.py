"""Objects as a dictionary: for tests of what uses them.

Held to tests/integration/storage/test_object_store.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from twelvefold.errors import NotFound
from twelvefold.storage.object_store import MAX_PRESIGNED, ReadMethod, StoredObject
from twelvefold.storage.upload import CHUNK_BYTES


@dataclass
class InMemoryObjectStore:
    """`contents` and `types` by key are there for a test to look at."""

    contents: dict[str, bytes] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    _stored: dict[str, StoredObject] = field(default_factory=dict)

    async def put(self, key: str, chunks: AsyncIterator[bytes], content_type: str) -> StoredObject:
        content = b"".join([chunk async for chunk in chunks])
        digest = hashlib.sha256(content).hexdigest()
        stored = StoredObject(key, len(content), digest, digest[:32], datetime.now(UTC))
        self.contents[key], self.types[key], self._stored[key] = content, content_type, stored
        return stored

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        if key not in self.contents:
            raise NotFound("no such object")
        async with aclosing(_sliced(self.contents[key])) as chunks:
            yield chunks

    async def stat(self, key: str) -> StoredObject | None:
        return self._stored.get(key)

    async def presign(
        self,
        key: str,
        expires: timedelta,
        filename: str | None = None,
        *,
        method: ReadMethod = "GET",
    ) -> str:
        if not timedelta(seconds=1) <= expires <= MAX_PRESIGNED:
            raise ValueError("a URL is signed for 1 s to 7 days")
        saved_as = "" if filename is None else f"&filename={quote(filename, safe='')}"
        lasts = int(expires.total_seconds())
        return f"memory://{quote(key)}?expires={lasts}{saved_as}&method={method}"

    async def delete(self, key: str) -> None:
        for kept in (self.contents, self.types, self._stored):
            kept.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        for key in sorted(self._stored):
            if key.startswith(prefix) and key in self._stored:
                yield self._stored[key]

    async def ensure_bucket(self) -> None:
        return None

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def ping(self) -> None:
        return None

    async def aclose(self) -> None:
        return None


async def _sliced(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
