"""The asynchronous client, on asyncio or trio. It mirrors `client`, which says more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import anyio
import httpx

from .calls import (
    CONNECT_TIMEOUT,
    HEADERS,
    make_call,
    make_login,
    make_revocation,
    make_watch,
    read_response,
)
from .events import READ_TIMEOUT, EventReader, JobEvent
from .exchange import Call, Outcome, Send, Step, Wait
from .generated.api.admin import AsyncAdminOperations
from .generated.api.auth import AsyncAuthOperations
from .generated.api.discovery import AsyncDiscoveryOperations
from .generated.api.health import AsyncHealthOperations
from .generated.api.images import AsyncImagesOperations
from .generated.api.jobs import AsyncJobsOperations
from .generated.api.problems import AsyncProblemsOperations
from .generated.api.users import AsyncUsersOperations
from .generated.client import Operation
from .generated.models import Job
from .generated.types import Response, Unset
from .pages import Page
from .retries import RetryBudget, RetryPolicy
from .session import Session
from .tokens import Tokens, read_tokens

T = TypeVar("T")


class AsyncTwelvefold(
    AsyncUsersOperations,
    AsyncAuthOperations,
    AsyncImagesOperations,
    AsyncJobsOperations,
    AsyncAdminOperations,
    AsyncProblemsOperations,
    AsyncDiscoveryOperations,
    AsyncHealthOperations,
):
    """A client of the API at `base_url`, with the operations and arguments of `Twelvefold`.

    Safe for tasks of one event loop; close it with `aclose`, or use it in `async with`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tokens: Tokens | None = None,
        on_tokens: Callable[[Tokens | None], None] | None = None,
        timeout: float = 30.0,
        retries: RetryPolicy | None = None,
        retry_budget: RetryBudget | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT)),
            transport=transport,
            headers=HEADERS,
        )
        self._session = Session(
            self._http.build_request,
            tokens,
            on_tokens,
            retries or RetryPolicy(),
            retry_budget or RetryBudget(),
        )
        self._renewing = anyio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections. The session stays valid; `log_out` ends it."""
        await self._http.aclose()

    @property
    def tokens(self) -> Tokens | None:
        """The present tokens; None without a session."""
        return self._session.tokens

    async def log_in(self, email: str, password: str) -> Tokens:
        """Open a session. Raises TokenRefused, and OutcomeUnknown where one may be open."""
        response = await self._perform(make_login(self._http.build_request, email, password))
        tokens = read_tokens(response)
        self._session.keep(tokens)
        return tokens

    async def log_out(self) -> None:
        """End the session. Its access tokens stop working as well."""
        if tokens := self._session.tokens:
            await self._perform(make_revocation(self._http.build_request, tokens))
            self._session.keep(None)

    async def iterate(
        self, operation: Callable[..., Awaitable[Page[T]]], **parameters: Any
    ) -> AsyncIterator[T]:
        """Yield the items of a list, all its pages: `iterate(client.list_jobs, limit=100)`."""
        cursor: str | Unset | None = parameters.pop("cursor", None)
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await operation(**parameters, **more)
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if not cursor:
                return

    async def watch_job(
        self, job_id: UUID, *, last_event_id: str | None = None
    ) -> AsyncIterator[JobEvent]:
        """Yield a job's changes until it ends, over lost connections and renewed tokens.

        Raises JobGone where it is deleted, Unreachable where connections bring no event any more.
        """
        reader = EventReader(self._session.policy, last_event_id)
        while True:
            call = make_watch(self._http.build_request, job_id, reader.headers, READ_TIMEOUT)
            response = await self._perform(call)
            try:
                async for chunk in response.aiter_bytes():
                    for event in reader.feed(chunk):
                        yield event
            except httpx.RequestError:
                pass  # resumed below
            finally:
                await response.aclose()
            if reader.is_ended or response.status_code == 204:  # noqa: PLR2004  (No Content)
                return
            await anyio.sleep(reader.pause())

    async def wait_for_job(self, job_id: UUID) -> Job:
        """Return the job once it has ended; its `status` says how."""
        async for _ in self.watch_job(job_id):
            pass
        return await self.get_job(job_id)

    async def _call(self, operation: Operation[T], request: dict[str, Any]) -> Response[T]:
        call = make_call(operation, request, self._http.build_request)
        return read_response(operation, await self._perform(call))

    async def _perform(self, call: Call) -> httpx.Response:
        return await self._follow(self._session.perform(call))

    async def _follow(self, steps: Generator[Step, Outcome, T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = await self._send(step)
            elif isinstance(step, Wait):
                await anyio.sleep(step.seconds)
                outcome = None
            else:
                async with self._renewing:  # one call does it, and the others find it done
                    outcome = await self._follow(self._session.renew(step.old))

    async def _send(self, step: Send) -> httpx.Response | httpx.RequestError:
        try:
            response = await self._http.send(step.request, stream=step.is_stream)
            if step.is_stream and response.is_error:
                await response.aread()
        except httpx.RequestError as error:
            return error
        return response
