"""The check of a request before its route runs: token, revocation, rate limit (RFC 6750)."""

from __future__ import annotations

from fastapi import Request

from twelvefold.context import set_principal
from twelvefold.errors import Unauthenticated
from twelvefold.security.client_key import client_key
from twelvefold.security.principals import Principal
from twelvefold.security.revocation import RevocationList, revocation_key
from twelvefold.security.revocation_feed import RevocationFeed
from twelvefold.security.tokens import TokenVerifier

from .rate_limits import RateLimitName, RateLimits, limit_of, refuse_beyond


class Authenticator:
    """Turns the Authorization header into a principal."""

    def __init__(
        self,
        verifier: TokenVerifier,
        revocations: RevocationList,
        feed: RevocationFeed,
        limits: RateLimits,
    ) -> None:
        self._verifier = verifier
        self._revocations = revocations
        self._feed = feed
        self._limits = limits

    async def authenticate(self, request: Request, limit: str | None = None) -> Principal:
        """Return the principal, and count the request by `limit`, else by the limit of the role.

        A request without a valid token is counted by address. A revocation is read from Redis and,
        while Redis is unavailable, from the feed. Raises Unauthenticated, TooManyRequests,
        DependencyUnavailable without any key, LoopStalled where the event loop stood still.
        """
        try:
            principal = await self._verifier.verify(_bearer(request.headers.get("authorization")))
        except Unauthenticated:
            await self.admit_anonymous(request, RateLimitName.ANONYMOUS)
            raise
        subject_keys = (revocation_key(principal.session_id), revocation_key(principal.id))
        admission = await self._limits.count(
            limit or limit_of(principal), str(principal.id), subject_keys
        )
        if any(admission.marks) or self._feed.is_revoked(principal.session_id, principal.id):
            raise Unauthenticated(
                "The access token was revoked.",
                token_error="invalid_token",  # noqa: S106  (RFC 6750 section 3.1)
            )
        set_principal(str(principal.id))
        refuse_beyond(admission)
        return principal

    async def admit_anonymous(self, request: Request, limit: str) -> None:
        """Count the request by its address. Raises TooManyRequests."""
        address = request.client.host if request.client else None
        await self._limits.require(limit, client_key(address))

    async def admit_in_process(self, request: Request, limit: str) -> None:
        """Count the request by its address in this process alone. Raises TooManyRequests."""
        address = request.client.host if request.client else None
        await self._limits.require_in_process(limit, client_key(address))

    async def is_valid(self, principal: Principal) -> bool:
        """Return whether neither the session nor the account is revoked."""
        subjects = (principal.session_id, principal.id)
        return not (
            self._feed.is_revoked(*subjects) or await self._revocations.is_revoked(*subjects)
        )


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send a bearer token.")
    return token
