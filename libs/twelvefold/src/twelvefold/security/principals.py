"""Who calls, as a verified access token says, and what that lets them do.

Owns scopes and the questions asked of a principal. Not how a token is verified (`tokens`).
"""

from __future__ import annotations

import math
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


def scope_of(role: Role) -> str:
    """The scope (RFC 6749 section 3.3) that a login of this role gets."""
    granted = (*USER_SCOPES, ADMIN_SCOPE) if role is Role.ADMIN else USER_SCOPES
    return " ".join(granted)


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
        """By role and scope, so that a token of narrower scope is none of an admin's."""
        return self.role is Role.ADMIN and ADMIN_SCOPE in self.scopes

    def require_scope(self, scope: str) -> None:
        """Raises Forbidden unless the token carries `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"the token lacks the scope {scope}")

    def require_self_or_admin(self, account_id: UUID) -> None:
        """Raises Forbidden for anybody else's account, whether it exists or not."""
        if self.id != account_id and not self.is_admin:
            raise Forbidden("You may access only your own account.")
