"""The S3 client: its connections, its bounds and the meaning of its errors.

`object_store` makes the calls.
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
_MAX_ATTEMPTS = 3
_MAX_CALLS_PER_CONNECTION = 4  # including calls that wait for a connection
_MISSING_CODES = frozenset({"404", "NoSuchKey", "NoSuchBucket", "NotFound"})


@dataclass(frozen=True, slots=True)
class Clients:
    """`calls` connects to S3; `signing` only signs URLs of the public endpoint."""

    calls: S3Client
    signing: S3Client

    async def aclose(self) -> None:
        await self.calls.close()
        await self.signing.close()


def open_clients(settings: ObjectStoreSettings) -> Clients:
    """Create the clients. Call it in a thread: import and set-up take about two seconds.

    A client connects with its first call, so another event loop may use it than the one that
    created it.
    """
    import aioboto3
    from aiobotocore.config import AioConfig

    if telemetry.is_exporting():
        _instrument()
    session = aioboto3.Session(
        aws_access_key_id=_reveal(settings.s3_access_key_id),
        aws_secret_access_key=_reveal(settings.s3_secret_access_key),
        region_name=settings.s3_region,
    )
    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=min(_CONNECT_TIMEOUT, settings.s3_timeout),
        read_timeout=settings.s3_timeout,
        retries={"mode": "standard", "total_max_attempts": _MAX_ATTEMPTS},
        max_pool_connections=settings.s3_max_connections,
        # Uploads carry Content-MD5. The library would compute its own checksums and a signature of
        # the body over whole parts on the event loop.
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
    """Make spans of the calls, under the library's names, such as `S3.PutObject`."""
    from opentelemetry.instrumentation.botocore import AiobotocoreInstrumentor

    def add_target(span: Span, _: str, __: str, parameters: dict[str, Any]) -> None:
        for name in ("Bucket", "Key"):
            if name in parameters:
                span.set_attribute(f"aws.s3.{name.lower()}", parameters[name])

    AiobotocoreInstrumentor().instrument(request_hook=add_target)  # type: ignore[no-untyped-call]  # untyped


async def probe_endpoint(settings: ObjectStoreSettings) -> None:
    """Check without a client that S3 responds; any status below 500 will do.

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


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def is_missing(error: Exception) -> bool:
    """Return whether a ClientError means that the object or the bucket does not exist."""
    response: dict[str, Any] = getattr(error, "response", {})
    return response.get("Error", {}).get("Code") in _MISSING_CODES


class S3CallLimiter:
    """The bulkhead, circuit breaker and timeout of each call to S3."""

    def __init__(self, settings: ObjectStoreSettings) -> None:
        self._timeout = settings.s3_timeout
        max_calls = _MAX_CALLS_PER_CONNECTION * settings.s3_max_connections
        self._bulkhead = Bulkhead("s3", max_calls=max_calls)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Guard one call.

        Raises DependencyUnavailable where S3 fails or the circuit breaker is open, Overloaded where
        too many calls are in progress; S3's refusals pass unchanged.
        """
        async with self._bulkhead.call(), map_s3_errors(remaining(self._timeout)):
            yield

    @asynccontextmanager
    async def chunk(self) -> AsyncIterator[None]:
        """Guard reading one piece of a response's body: a timeout, without limiter or breaker."""
        async with map_s3_errors(self._timeout):
            yield


@asynccontextmanager
async def map_s3_errors(timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109  (for the block)
    """Bound the block to `timeout` seconds; raise DependencyUnavailable where S3 fails.

    S3's refusals (a ClientError below 500, except 429) pass unchanged.
    """
    # Imported here because these are slow: the thread that opens the client imports them first.
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
