"""The S3 client: its bounds, and what its errors mean.

Owns how we connect and sign. What is called is up to `object_store`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span
from pydantic import SecretStr

from twelvefold.context import remaining
from twelvefold.errors import DependencyUnavailable
from twelvefold.observability import telemetry
from twelvefold.resilience.circuit_breaker import Bulkhead
from twelvefold.settings import ObjectStoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_CONNECT_TIMEOUT = 2.0  # seconds
_ATTEMPTS = 3
_WAITING = 4  # calls for each connection, those included that wait for one
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


@dataclass(frozen=True, slots=True)
class Clients:
    """`signing` is for the endpoint that clients see; it never connects there."""

    calls: S3Client
    signing: S3Client

    async def aclose(self) -> None:
        await self.calls.close()
        await self.signing.close()


def open_clients(settings: ObjectStoreSettings) -> Clients:
    """In a thread: the import and the service's model take two seconds of a cold start.

    A client connects at its first call only, so the loop that creates it need not be the one
    that uses it.
    """
    import aioboto3
    from aiobotocore.config import AioConfig

    if telemetry.is_exporting():
        _instrument()
    session = aioboto3.Session(
        aws_access_key_id=_revealed(settings.s3_access_key_id),
        aws_secret_access_key=_revealed(settings.s3_secret_access_key),
        region_name=settings.s3_region,
    )
    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=min(_CONNECT_TIMEOUT, settings.s3_timeout),
        read_timeout=settings.s3_timeout,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        max_pool_connections=settings.s3_max_connections,
        # Ours carry Content-MD5. The library's own sums, and a signature over the body, would be
        # computed over whole parts on the loop.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={
            "addressing_style": "path" if settings.s3_endpoint else "auto",
            "payload_signing_enabled": False,
        },
    )

    async def create() -> Clients:
        endpoint = settings.s3_endpoint
        public = settings.s3_public_endpoint or endpoint
        calls = await session.client("s3", endpoint_url=endpoint, config=config).__aenter__()
        signing = await session.client("s3", endpoint_url=public, config=config).__aenter__()
        return Clients(calls, signing)

    return asyncio.run(create())


def _instrument() -> None:
    """Spans of the calls, under the names that the library gives them: `S3.PutObject`."""
    from opentelemetry.instrumentation.botocore import AiobotocoreInstrumentor

    def tell(span: Span, _: str, __: str, parameters: dict[str, Any]) -> None:
        for name in ("Bucket", "Key"):
            if name in parameters:
                span.set_attribute(f"aws.s3.{name.lower()}", parameters[name])

    AiobotocoreInstrumentor().instrument(request_hook=tell)  # type: ignore[no-untyped-call]  # as it ships


async def probe_endpoint(settings: ObjectStoreSettings) -> None:
    """Whether anybody answers at S3's address, without a client: any answer but a fault of its own.

    Raises DependencyUnavailable("s3").
    """
    import aiohttp

    url = settings.s3_endpoint or f"https://s3.{settings.s3_region}.amazonaws.com"
    timeout = aiohttp.ClientTimeout(total=min(_CONNECT_TIMEOUT, settings.s3_timeout))
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.head(url) as response:
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise DependencyUnavailable("s3") from error
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise DependencyUnavailable("s3")


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def is_missing(error: Exception) -> bool:
    """Whether a ClientError says that there is no such object, or no such bucket."""
    response: dict[str, Any] = getattr(error, "response", {})
    return response.get("Error", {}).get("Code") in _MISSING


class S3CallLimiter:
    """What stands before each call to S3: a bound on how many there are, a breaker, a timeout."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        self._timeout = settings.s3_timeout
        self._bulkhead = Bulkhead("s3", max_calls=_WAITING * settings.s3_max_connections)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Around one call. Raises DependencyUnavailable, also at once while S3 is away, Overloaded
        where too many are under way; S3's refusals pass as they are.
        """
        with self._bulkhead.call():
            async with map_s3_errors(remaining(self._timeout)):
                yield

    @asynccontextmanager
    async def chunk(self) -> AsyncIterator[None]:
        """Around what belongs to a call that was answered: a piece of its body."""
        async with map_s3_errors(self._timeout):
            yield


@asynccontextmanager
async def map_s3_errors(timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109  (for the block)
    """Bounds the block to `timeout` seconds and turns a lost S3 into DependencyUnavailable.

    S3's refusals (a ClientError below 500, but for 429) pass as they are.
    """
    # Here, not above: these are imported by the thread that opens the client.
    import aiohttp
    from botocore import exceptions as boto

    try:
        async with asyncio.timeout(timeout):
            yield
    except boto.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
            raise DependencyUnavailable("s3") from error
        raise
    except (
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.IncompleteReadError,
        boto.CredentialRetrievalError,
        aiohttp.ClientError,
        OSError,  # TimeoutError is one
    ) as error:
        raise DependencyUnavailable("s3") from error
