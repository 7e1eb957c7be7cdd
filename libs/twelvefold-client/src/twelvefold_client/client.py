"""The synchronous client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

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
from .generated.api.admin import AdminOperations
from .generated.api.auth import AuthOperations
from .generated.api.discovery import DiscoveryOperations
from .generated.api.health import HealthOperations
from .generated.api.images import ImagesOperations
from .generated.api.jobs import JobsOperations
from .generated.api.problems import ProblemsOperations
from .generated.api.users import UsersOperations
from .generated.client import Operation
from .generated.models import Job
from .generated.types import Response, Unset
from .pages import Page
from .retries import RetryBudget, RetryPolicy
from .session import Session
from .tokens import Tokens, read_tokens

T = TypeVar("T")


class Twelvefold(
    UsersOperations,
    AuthOperations,
    ImagesOperations,
    JobsOperations,
    AdminOperations,
    ProblemsOperations,
    DiscoveryOperations,
    HealthOperations,
):
    """A client of the API at `base_url`. Safe for threads; close it, or use it in `with`.

    `tokens` continues a session, and `on_tokens` is called with each new pair, None after the
    session's end, to keep it. `timeout` is in seconds and of one try: between two pieces of the
    response, not of all of it. `transport` replaces the network, for tests.

    Operations return the model of a success and raise the errors of `problems`. A call is tried
    again within `retries` where that cannot have its effect twice: one that was not executed, GET,
    PUT and DELETE, and whatever takes an Idempotency-Key, which the client makes and keeps over the
    tries. Any other call whose outcome is unknown raises OutcomeUnknown.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
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
        self._renewing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. The session stays valid; `log_out` ends it."""
        self._http.close()

    @property
    def tokens(self) -> Tokens | None:
        """The present tokens; None without a session."""
        return self._session.tokens

    def log_in(self, email: str, password: str) -> Tokens:
        """Open a session. Raises TokenRefused, and OutcomeUnknown where one may be open."""
        response = self._perform(make_login(self._http.build_request, email, password))
        tokens = read_tokens(response)
        self._session.keep(tokens)
        return tokens

    def log_out(self) -> None:
        """End the session. Its access tokens stop working as well."""
        if tokens := self._session.tokens:
            self._perform(make_revocation(self._http.build_request, tokens))
            self._session.keep(None)

    def iterate(self, operation: Callable[..., Page[T]], **parameters: Any) -> Iterator[T]:
        """Yield the items of a list, all its pages: `iterate(client.list_jobs, limit=100)`."""
        cursor: str | Unset | None = parameters.pop("cursor", None)
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = operation(**parameters, **more)
            yield from page.items
            cursor = page.next_cursor
            if not cursor:
                return

    def watch_job(self, job_id: UUID, *, last_event_id: str | None = None) -> Iterator[JobEvent]:
        """Yield a job's changes until it ends, over lost connections and renewed tokens.

        Raises JobGone where it is deleted, Unreachable where connections bring no event any more.
        """
        reader = EventReader(self._session.policy, last_event_id)
        while True:
            call = make_watch(self._http.build_request, job_id, reader.headers, READ_TIMEOUT)
            response = self._perform(call)
            try:
                for chunk in response.iter_bytes():
                    yield from reader.feed(chunk)
            except httpx.RequestError:
                pass  # resumed below
            finally:
                response.close()
            if reader.is_ended or response.status_code == 204:  # noqa: PLR2004  (No Content)
                return
            time.sleep(reader.pause())

    def wait_for_job(self, job_id: UUID) -> Job:
        """Return the job once it has ended; its `status` says how."""
        for _ in self.watch_job(job_id):
            pass
        return self.get_job(job_id)

    def _call(self, operation: Operation[T], request: dict[str, Any]) -> Response[T]:
        call = make_call(operation, request, self._http.build_request)
        return read_response(operation, self._perform(call))

    def _perform(self, call: Call) -> httpx.Response:
        return self._follow(self._session.perform(call))

    def _follow(self, steps: Generator[Step, Outcome, T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Send):
                outcome = self._send(step)
            elif isinstance(step, Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                with self._renewing:  # one call does it, and the others find it done
                    outcome = self._follow(self._session.renew(step.old))

    def _send(self, step: Send) -> httpx.Response | httpx.RequestError:
        try:
            response = self._http.send(step.request, stream=step.is_stream)
            if step.is_stream and response.is_error:
                response.read()
        except httpx.RequestError as error:
            return error
        return response
