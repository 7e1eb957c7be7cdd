"""The state of a client: tokens, bounds of tries, and the steps of its calls.

Owns no connection: the clients send and wait as the steps say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import httpx

from .calls import Builder, make_renewal
from .exchange import Call, Outcome, Step, perform
from .problems import LoginRequired, TokenRefused, TwelvefoldError
from .retries import RetryBudget, RetryPolicy
from .tokens import REPEATABLE, Tokens, read_tokens

Steps = Generator[Step, Outcome, httpx.Response]


@dataclass
class Session:
    """A session, or none while `tokens` is None."""

    build: Builder
    tokens: Tokens | None
    on_tokens: Callable[[Tokens | None], None] | None
    policy: RetryPolicy
    budget: RetryBudget

    def perform(self, call: Call) -> Steps:
        """Return the steps of a call; see `exchange.perform`."""
        return perform(call, lambda: self.tokens, self.policy, self.budget)

    def renew(self, old: str) -> Generator[Step, Outcome, TwelvefoldError | None]:
        """Yield the steps that exchange the refresh token; return the error, if any.

        Only one call may do so at a time. Nothing happens where `old` is no longer the access
        token, because a call before has renewed it.
        """
        tokens = self.tokens
        if tokens is None or tokens.access != old:
            return None
        if tokens.refresh is None:
            return LoginRequired("the access token has expired, and there is no refresh token")
        policy = replace(self.policy, budget=min(self.policy.budget, REPEATABLE))
        call = make_renewal(self.build, tokens.refresh)
        try:
            response = yield from perform(call, lambda: None, policy, self.budget)
        except TokenRefused as error:
            ended = LoginRequired(f"the session has ended: {error.description}")
            ended.__cause__ = error
            return ended
        except TwelvefoldError as error:
            return error
        self.keep(read_tokens(response))
        return None

    def keep(self, tokens: Tokens | None) -> None:
        """Use these tokens from now on, and report them."""
        self.tokens = tokens
        if self.on_tokens:
            self.on_tokens(tokens)
