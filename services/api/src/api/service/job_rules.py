"""Permissions on jobs, by kind and target.

Every action checks them anew. A caller who was once allowed to start a job may not be allowed to
run it again: the role may have changed, or the target may be deleted or belong to another owner.
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

# Besides image.process, which takes an image's id instead of the worker's payload.
ADMIN_KINDS: Mapping[str, type[JobPayload]] = {
    EMAIL_SEND: EmailSend,
    ACCOUNT_ERASE: AccountErase,
}
_AVATAR = "avatar"


@dataclass(frozen=True, slots=True)
class JobRules:
    """The rules, checked by every action on a job with the caller's current rights."""

    queue: JobQueue
    users: UsersClient
    images: Images | None  # None: images are disabled

    def require_known_kind(self, kind: str) -> None:
        """Raise UnprocessableContent where no caller may start jobs of this kind."""
        is_enabled = kind in ADMIN_KINDS or (kind == IMAGE_PROCESS and self.images is not None)
        if not is_enabled:
            raise UnprocessableContent(
                "Unknown job type.", errors=[FieldError("/body/type", "is no type of job")]
            )

    def require_kind(self, principal: Principal, kind: str) -> None:
        """Raise Forbidden where the caller's role may not start jobs of this kind."""
        if kind != IMAGE_PROCESS and not principal.is_admin:
            raise Forbidden("Only admins may start jobs of this type.")

    async def require_erasable(self, principal: Principal, account_id: UUID) -> None:
        """Check with users, outside any transaction, whether an account may be erased.

        Raises Forbidden where the caller is no admin by its row, Conflict for the last admin and
        for the caller's own account, whose deletion requires a recent login, which no job checks.
        """
        if account_id == principal.id:
            raise Conflict("Delete your own account with DELETE /api/v1/users/me.")
        await self.users.require_erasable(account_id, bearer=principal.token)

    async def require_runnable(self, reader: Reader, principal: Principal, job: JobRecord) -> None:
        """Check what a new start of `job` would check, except `require_erasable`.

        Raises as `require_stoppable`, and Conflict where its image was deleted since.
        """
        if not await self._has_target(reader, principal, job):
            raise Conflict("The image of this job was deleted.")

    async def require_stoppable(self, reader: Reader, principal: Principal, job: JobRecord) -> None:
        """Check as `require_runnable`, but a job whose target was deleted may be stopped.

        Raises Forbidden by kind, and NotFound where the target belongs to another owner.
        """
        await self._has_target(reader, principal, job)

    async def _has_target(self, reader: Reader, principal: Principal, job: JobRecord) -> bool:
        """Return False where the target was deleted. Raises as `require_stoppable`."""
        self.require_kind(principal, job.kind)
        if job.kind != IMAGE_PROCESS:
            return True
        target, subject = await self.queue.find_subject(reader, job.id)
        if target == _AVATAR:
            if subject != principal.id and not principal.is_admin:
                raise NotFound("The job does not exist.")
            return True
        if subject is None or self.images is None:
            return False
        image = await self.images.find(reader, subject)
        if image is not None and not may_see(principal, image):
            raise NotFound("The job does not exist.")
        return image is not None
