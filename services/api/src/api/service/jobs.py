"""Jobs of an owner: start, watch, cancel and retry them. Payloads are never shown."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from api.repository.images import Position
from twelvefold.contracts.jobs import ACCOUNT_ERASE, IMAGE_PROCESS, AccountErase
from twelvefold.database.database import Database, Reader, Transaction, retry_once
from twelvefold.database.prepared import Row
from twelvefold.errors import FieldError, NotFound, UnprocessableContent, json_pointer
from twelvefold.http.rest.idempotency import IdempotentOperation, StoredResponse
from twelvefold.jobs import JobEvents, JobQueue, JobRecord, JobStatus
from twelvefold.jobs.lists import list_job_rows
from twelvefold.security.principals import Principal

from .images import Images, listed_owner
from .job_quota import JobQuota
from .job_rules import ADMIN_KINDS, JobRules

M = TypeVar("M", bound=BaseModel)
Respond = Callable[[JobRecord], StoredResponse]


class ImageReference(BaseModel):
    """The payload of a client that starts the processing of an image again."""

    model_config = ConfigDict(extra="forbid")

    image_id: UUID


class Jobs:
    """Use cases on jobs. A job of another owner is treated like an unknown one."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        events: JobEvents,
        images: Images | None,
        rules: JobRules,
        quota: JobQuota,
    ) -> None:
        self._database = database
        self._queue = queue
        self._events = events
        self._images = images
        self._rules = rules
        self._quota = quota

    async def create(
        self,
        principal: Principal,
        kind: str,
        payload: Mapping[str, Any],
        *,
        operation: IdempotentOperation,
        respond: Respond,
    ) -> StoredResponse:
        """Start a job.

        Raises UnprocessableContent for an unknown type or an invalid payload, Forbidden for a type
        of admins, Conflict for the erasure of the last admin, and as `JobQuota.require_room` and
        `IdempotentOperation.run`.
        """
        self._rules.require_known_kind(kind)
        self._rules.require_kind(principal, kind)
        model = ImageReference if kind == IMAGE_PROCESS else ADMIN_KINDS[kind]
        parsed = _parse(model, payload)

        async def prepare() -> None:
            if isinstance(parsed, AccountErase):
                await self._rules.require_erasable(principal, parsed.user_id)

        async def start(transaction: Transaction, _: None) -> JobRecord:
            if self._images is not None and isinstance(parsed, ImageReference):
                job_id = await self._images.reprocess(transaction, principal, parsed.image_id)
            else:
                job_id = await self._queue.enqueue(transaction, kind, parsed, owner_id=principal.id)
            return await self._visible(transaction, principal, job_id)

        result = await operation.run(self._database, start, prepare=prepare, respond=respond)
        return result.response

    @retry_once
    async def get(self, principal: Principal, job_id: UUID) -> JobRecord:
        """Return a job. Raises NotFound, also for a job of another owner."""
        async with self._database.read() as reader:
            return await self._visible(reader, principal, job_id)

    @retry_once
    async def list(
        self,
        principal: Principal,
        *,
        owner_id: UUID | None,
        status: JobStatus | None,
        kind: str | None,
        limit: int,
        after: Position | None,
    ) -> Sequence[Row]:
        """Return jobs, newest first. Without `owner_id` those of the user, or all for an admin.

        The rows are those of `list_job_rows`.

        Raises Forbidden where a user requests the jobs of another.
        """
        owner = listed_owner(principal, owner_id)
        async with self._database.read_prepared() as reader:
            return await list_job_rows(
                reader, owner_id=owner, status=status, kind=kind, after=after, limit=limit
            )

    async def cancel(
        self,
        principal: Principal,
        job_id: UUID,
        *,
        operation: IdempotentOperation,
        respond: Respond,
    ) -> StoredResponse:
        """Cancel a job.

        Raises Conflict where the job has ended, NotFound as `get`, and as
        `JobRules.require_stoppable` and `IdempotentOperation.run`.
        """

        async def cancel(transaction: Transaction, _: None) -> JobRecord:
            job = await self._visible(transaction, principal, job_id)
            await self._rules.require_stoppable(transaction, principal, job)
            return await self._queue.cancel(transaction, job_id)

        result = await operation.run(self._database, cancel, prepare=_nothing, respond=respond)
        return result.response

    async def retry(
        self,
        principal: Principal,
        job_id: UUID,
        *,
        operation: IdempotentOperation,
        respond: Respond,
    ) -> StoredResponse:
        """Run an ended job again.

        Raises Conflict where the job is waiting, running or succeeded, NotFound as `get`, and what
        a new start would by `JobRules`, `JobQuota.require_room` and `IdempotentOperation.run`.
        """

        async def prepare() -> None:
            async with self._database.read() as reader:
                job = await self._visible(reader, principal, job_id)
                self._rules.require_kind(principal, job.kind)
                subject = await self._queue.find_subject(reader, job_id)
            if job.kind == ACCOUNT_ERASE and subject.id is not None:
                await self._rules.require_erasable(principal, subject.id)

        async def retry(transaction: Transaction, _: None) -> JobRecord:
            job = await self._visible(transaction, principal, job_id)
            await self._rules.require_runnable(transaction, principal, job)
            # A failed job is waiting already.
            if job.kind == IMAGE_PROCESS and job.owner_id is not None and job.status.is_terminal:
                await self._quota.require_room(transaction, job.owner_id)
            return await self._queue.retry(transaction, job_id)

        result = await operation.run(self._database, retry, prepare=prepare, respond=respond)
        return result.response

    def changes(self, job_id: UUID) -> AsyncGenerator[JobRecord]:
        """Yield the job now and after every change, until it ends. Call `get` first."""
        return self._events.watch(job_id)

    async def _visible(self, reader: Reader, principal: Principal, job_id: UUID) -> JobRecord:
        job = await self._queue.get(reader, job_id)
        if job is None or (job.owner_id != principal.id and not principal.is_admin):
            raise NotFound("The job does not exist.")
        return job


async def _nothing() -> None:
    return None


def _parse(model: type[M], payload: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        faults = [
            FieldError("/body/payload" + json_pointer(detail["loc"]), detail["msg"])
            for detail in error.errors(include_input=False, include_url=False)
        ]
        raise UnprocessableContent("The payload is invalid.", errors=faults) from None
