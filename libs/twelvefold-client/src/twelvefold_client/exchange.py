"""How a call is carried out: tries, waits and renewed tokens, without any input or output.

Owns the decision whether a try may be repeated. The clients send, wait and renew as it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NoReturn

import httpx

from .problems import (
    LoginRequired,
    OutcomeUnknown,
    TokenRefused,
    TwelvefoldError,
    Unreachable,
    read_error,
)
from .retries import RetryBudget, RetryPolicy
from .tokens import Tokens

_REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # RFC 9110 section 9.2
_SAFE_METHODS = frozenset({"GET", "HEAD"})
# After these the request was not executed, so that any call may be repeated.
_NOT_EXECUTED = frozenset({"too-many-requests", "overloaded", "request-in-progress"})
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_ERROR, _SERVER_ERROR = 400, 500
_UNAUTHENTICATED, _NOT_FOUND = 401, 404


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `build` makes its request, with the access token where there is one."""

    name: str
    method: str
    build: Callable[[str | None], httpx.Request]
    needs_token: bool
    idempotency_key: str | None = None
    repeatable: bool = False  # beside the methods and calls with a key, that are so anyway
    is_stream: bool = False  # whether the response is left open

    @property
    def may_repeat(self) -> bool:
        """Whether the call may be sent again after a try whose outcome is unknown."""
        return (
            self.method in _REPEATABLE_METHODS
            or self.idempotency_key is not None
            or self.repeatable
        )


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the result is the response, or the RequestError."""

    request: httpx.Request
    is_stream: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Renew:
    """Exchange the refresh token, unless another call has done so; `old` is the access token.

    The result is None, or the error.
    """

    old: str


Step = Send | Wait | Renew
Outcome = httpx.Response | Exception | None


def perform(
    call: Call,
    tokens: Callable[[], Tokens | None],
    policy: RetryPolicy,
    budget: RetryBudget,
) -> Generator[Step, Outcome, httpx.Response]:
    """Yield the steps of a call and return its response, whose status is below 400.

    Raises ApiProblem or TokenRefused where the API refuses, Unreachable where it does not answer
    and nothing was changed, OutcomeUnknown where something may have been, LoginRequired where the
    call needs a session and there is none.
    """
    started = time.monotonic()
    tries = 0
    is_uncertain = False  # whether a try before may have been executed
    is_renewed = False
    while True:
        access = None
        if call.needs_token:
            access = yield from _find_access(tokens)
        outcome = yield Send(call.build(access), call.is_stream)
        tries += 1
        if isinstance(outcome, httpx.Response):
            if outcome.status_code < _ERROR:
                budget.put_back()
                return outcome
            if outcome.status_code == _UNAUTHENTICATED and access and not is_renewed:
                is_renewed = True
                error = yield Renew(access)
                if error is None:
                    continue
                _raise_after(call, error, is_uncertain=is_uncertain)
            if outcome.status_code == _NOT_FOUND and call.method == "DELETE" and is_uncertain:
                return outcome  # the try before has deleted it
        failure = _read_failure(outcome)
        is_uncertain = is_uncertain or failure.may_be_executed
        if not failure.may_pass or (failure.may_be_executed and not call.may_repeat):
            _raise_after(call, failure.error, is_uncertain=failure.may_be_executed)
        wait = policy.wait(tries, failure.retry_after)
        is_late = time.monotonic() - started + wait > policy.budget
        if tries >= policy.max_tries or is_late or not budget.take():
            _raise_after(call, failure.error, is_uncertain=is_uncertain)
        yield Wait(wait)


def _find_access(
    tokens: Callable[[], Tokens | None],
) -> Generator[Step, Outcome, str]:
    found = tokens()
    if found is not None and found.is_expired and found.refresh is not None:
        error = yield Renew(found.access)
        if isinstance(error, Exception):
            raise error
        found = tokens()
    if found is None:
        raise LoginRequired("log in first")
    return found.access


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try without success."""

    error: Exception
    may_pass: bool  # whether another try may succeed
    may_be_executed: bool
    retry_after: float | None = None


def _read_failure(outcome: Outcome) -> _Failure:
    if isinstance(outcome, httpx.Response):
        error = read_error(outcome)
        if isinstance(error, TokenRefused):
            return _Failure(error, may_pass=False, may_be_executed=False)
        if error.code in _NOT_EXECUTED:
            return _Failure(
                error, may_pass=True, may_be_executed=False, retry_after=error.retry_after
            )
        is_server_error = error.status >= _SERVER_ERROR
        return _Failure(
            error,
            may_pass=is_server_error,
            may_be_executed=is_server_error,
            retry_after=error.retry_after,
        )
    assert isinstance(outcome, Exception)  # noqa: S101  (a Send has either result)
    return _Failure(outcome, may_pass=True, may_be_executed=not isinstance(outcome, _NOT_SENT))


def _raise_after(call: Call, error: Outcome, *, is_uncertain: bool) -> NoReturn:
    """Raise what the caller sees after the last try."""
    assert isinstance(error, Exception)  # noqa: S101  (of a failed try or renewal)
    if is_uncertain and call.method not in _SAFE_METHODS:
        raise OutcomeUnknown(call.name, idempotency_key=call.idempotency_key) from error
    if isinstance(error, TwelvefoldError):
        raise error
    raise Unreachable(f"{call.name}: the API did not answer: {error!r}") from error
