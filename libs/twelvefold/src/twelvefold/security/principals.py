"""The principal: the account behind a verified access token, and its rights.

Owns scopes and the checks of a principal. `tokens` verifies the token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from twelvefold.contracts.accounts import Role
from twelvefold.errors import Forbidden

USER_SCOPES = (
    "users:read",
    "users:write",
    "images:read",
    "images:write",
    "jobs:read",
    "jobs:write",
)
ADMIN_SCOPE = "admin"


def scope_of(role: Role, further: Iterable[str] = ()) -> str:
    """Return the scope (RFC 6749 section 3.3) that a login of this role gets.

    `further` are the scopes of services besides the suite's own.
    """
    granted = (*USER_SCOPES, *further)
    return " ".join((*granted, ADMIN_SCOPE) if role is Role.ADMIN else granted)


@dataclass(frozen=True, slots=True)
class Principal:
    """The account behind a request. `expires_at` is in seconds since the epoch."""

    id: UUID
    role: Role
    scopes: frozenset[str]
    session_id: UUID
    token: str = field(repr=False, compare=False)
    expires_at: float = math.inf

    @property
    def is_admin(self) -> bool:
        """Whether the role and the scope are an admin's; a token may have a narrower scope."""
        return self.role is Role.ADMIN and ADMIN_SCOPE in self.scopes

    def require_scope(self, scope: str) -> None:
        """Raise Forbidden unless the token has `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"The token lacks the scope {scope}.")

    def require_self_or_admin(self, account_id: UUID) -> None:
        """Raise Forbidden unless the account is the caller's own or the caller is an admin."""
        if self.id != account_id and not self.is_admin:
            raise Forbidden("You may access only your own account.")
