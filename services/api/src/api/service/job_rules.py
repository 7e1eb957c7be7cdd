"""What a caller may do with jobs: of which kinds, and on what.

Every action asks here when it happens. That somebody was once allowed to start a job says nothing
about running it again: they may be no admin any more, or its target another's or gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from api.users_client import UsersClient
from twelvefold.contracts.jobs import (
    ACCOUNT_ERASE,
    EMAIL_SEND,
    IMAGE_PROCESS,
    AccountErase,
    EmailSend,
    JobPayload,
)
from twelvefold.database.database import Reader
from twelvefold.errors import Conflict, FieldError, Forbidden, NotFound, UnprocessableContent
from twelvefold.jobs import JobQueue, JobRecord
from twelvefold.security.principals import Principal

from .images import Images, may_see

# Besides image.process, which takes an image's id instead of the payload that the worker gets.
ADMIN_KINDS: Mapping[str, type[JobPayload]] = {
    EMAIL_SEND: EmailSend,
    ACCOUNT_ERASE: AccountErase,
}
_AVATAR = "avatar"


@dataclass(frozen=True, slots=True)
class JobRules:
    """The rules, asked by every action on a job with the caller as they are now."""

    queue: JobQueue
    users: UsersClient
    images: Images

    def require_known_kind(self, kind: str) -> None:
        """Raises Invalid where nobody may start jobs of this kind."""
        if kind != IMAGE_PROCESS and kind not in ADMIN_KINDS:
            raise UnprocessableContent(
                "no such type of job", errors=[FieldError("/body/type", "is no type of job")]
            )

    def require_kind(self, principal: Principal, kind: str) -> None:
        """Raises Forbidden where the caller's role does not start jobs of this kind."""
        if kind != IMAGE_PROCESS and not principal.is_admin:
            raise Forbidden("only admins start jobs of this type")

    async def require_erasable(self, principal: Principal, account_id: UUID) -> None:
        """Asks users, outside any transaction, whether an account may be erased at all.

        Raises Forbidden where the caller is no admin by its row, Conflict for the last admin and
        for the caller's own account: deleting that requires a recent login, which no job asks for.
        """
        if account_id == principal.id:
            raise Conflict("Delete your own account with DELETE /api/v1/users/me.")
        await self.users.require_erasable(account_id, bearer=principal.token)

    async def require_runnable(self, reader: Reader, principal: Principal, job: JobRecord) -> None:
        """What starting `job` anew would ask, but for `require_erasable`.

        Raises as `require_stoppable`, and Conflict where its image was deleted meanwhile.
        """
        if not await self._may_touch(reader, principal, job):
            raise Conflict("the image of this job was deleted")

    async def require_stoppable(self, reader: Reader, principal: Principal, job: JobRecord) -> None:
        """As `require_runnable`, but a job whose target is gone may well be stopped.

        Raises Forbidden by kind, and NotFound where the job's target is another's.
        """
        await self._may_touch(reader, principal, job)

    async def _may_touch(self, reader: Reader, principal: Principal, job: JobRecord) -> bool:
        """False where the target is gone."""
        self.require_kind(principal, job.kind)
        if job.kind != IMAGE_PROCESS:
            return True
        target, subject = await self.queue.find_subject(reader, job.id)
        if target == _AVATAR:
            if subject != principal.id and not principal.is_admin:
                raise NotFound("no such job")
            return True
        image = None if subject is None else await self.images.find(reader, subject)
        if image is not None and not may_see(principal, image):
            raise NotFound("no such job")
        return image is not None
