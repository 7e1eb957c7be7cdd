"""Dependencies of routes: the use cases, the calling service and the principal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from twelvefold.context import set_principal
from twelvefold.errors import Forbidden, Unauthenticated
from twelvefold.http.callers import require_caller
from twelvefold.http.rest.idempotency import IdempotencyStore
from twelvefold.security.keys import KeySet
from twelvefold.security.passwords import PasswordHasher
from twelvefold.security.principals import Principal
from twelvefold.security.tokens import TokenVerifier
from users.service.account_admin import AccountAdmin
from users.service.accounts import Accounts
from users.service.analytics import Analytics
from users.service.emails.email_changes import EmailChanges
from users.service.emails.email_links import EmailLinks
from users.service.passwords import Passwords
from users.service.personal import PersonalData
from users.service.post_commit import PostCommitTasks
from users.service.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Container:
    """The use cases of one process; `app.py` builds it."""

    accounts: Accounts
    sessions: Sessions
    email_links: EmailLinks
    email_changes: EmailChanges
    passwords: Passwords
    account_admin: AccountAdmin
    personal_data: PersonalData
    analytics: Analytics
    keys: KeySet
    verifier: TokenVerifier
    idempotency: IdempotencyStore
    # Routes do not use these; `app.py` closes them.
    hasher: PasswordHasher
    post_commit_tasks: PostCommitTasks


# async: FastAPI runs a plain function in a thread, which costs more than most requests.
async def container(request: Request) -> Container:
    services: Container = request.app.state.container
    return services


Services = Annotated[Container, Depends(container)]
from_api = Depends(require_caller("api"))
from_worker = Depends(require_caller("worker"))

_bearer = HTTPBearer(
    auto_error=False, description="The caller's access token, forwarded by the edge."
)


async def principal(
    services: Services,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Verify the caller's token. The edge has done so, but this service does not rely on it."""
    if credentials is None:
        raise Unauthenticated("Send the caller's bearer token.")
    caller = await services.verifier.verify(credentials.credentials)
    set_principal(str(caller.id))
    return caller


def self_or_admin(scope: str) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that admits the account of the path and admins with `scope`."""

    async def check(
        user_id: Annotated[UUID, Path()], caller: Annotated[Principal, Depends(principal)]
    ) -> Principal:
        caller.require_scope(scope)
        caller.require_self_or_admin(user_id)
        return caller

    return check


def require_owner(scope: str) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that admits the account of the path alone, with `scope`.

    Credentials concern their owner, not admins.
    """

    async def check(
        user_id: Annotated[UUID, Path()], caller: Annotated[Principal, Depends(principal)]
    ) -> Principal:
        caller.require_scope(scope)
        if caller.id != user_id:
            raise Forbidden("You may access only your own account.")
        return caller

    return check


async def admin(caller: Annotated[Principal, Depends(principal)]) -> Principal:
    """Admit admins by role and scope."""
    if not caller.is_admin:
        raise Forbidden("Admin role required.")
    return caller


ReadsOwnAccount = Annotated[Principal, Depends(require_owner("users:read"))]
ChangesOwnAccount = Annotated[Principal, Depends(require_owner("users:write"))]
Admin = Annotated[Principal, Depends(admin)]
may_read = Depends(self_or_admin("users:read"))
may_write = Depends(self_or_admin("users:write"))
Writer = Annotated[Principal, may_write]
IfMatch = Annotated[
    str | None, Header(description="ETag of the version that the change is based on.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="1 to 255 printable characters. The same key and body act once in 24 hours."
    ),
]
