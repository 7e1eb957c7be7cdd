"""Images: upload, list, show and delete them, and store the variants that the worker made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from api.repository import erasures
from api.repository.images import Image, ImageRepository, NewImage, Position
from twelvefold.contracts.images import VariantReport
from twelvefold.contracts.jobs import IMAGE_PROCESS, ImageProcess
from twelvefold.database.database import Database, Reader, Transaction, retry_once
from twelvefold.database.prepared import Row
from twelvefold.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    PreconditionFailed,
    Unauthenticated,
    UnprocessableContent,
)
from twelvefold.http.rest.idempotency import IdempotentOperation, StoredResponse
from twelvefold.identifiers import new_id
from twelvefold.jobs import JobQueue, JobRecord
from twelvefold.security.principals import Principal
from twelvefold.storage.object_store import ObjectStore, ReadMethod

from .job_quota import JobQuota
from .uploads import Upload, Uploads

PRESIGNED_FOR = timedelta(minutes=5)
_DELETE_TIMEOUT = 2.0  # seconds for the objects of a deleted row; the sweeper deletes the rest
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored image and the job that makes its variants, committed together."""

    image: Image
    job: JobRecord


class Images:
    """Use cases on images. An image of another owner is treated like an unknown one."""

    def __init__(
        self,
        database: Database,
        images: ImageRepository,
        jobs: JobQueue,
        store: ObjectStore,
        uploads: Uploads,
        quota: JobQuota,
    ) -> None:
        self._database = database
        self._images = images
        self._jobs = jobs
        self._store = store
        self._uploads = uploads
        self._quota = quota

    async def upload(
        self,
        principal: Principal,
        body: AsyncIterator[bytes],
        content_type: str | None,
        *,
        operation: IdempotentOperation,
        respond: Callable[[Accepted], StoredResponse],
    ) -> StoredResponse:
        """Store the bytes, then commit row, job and response.

        A repeated request leaves no object of its own. Raises as `Uploads.receive`,
        `IdempotentOperation.run` and `JobQuota.require_room`, and Unauthenticated where the account
        was erased while its token is still valid.
        """

        async def insert(transaction: Transaction, upload: Upload) -> Accepted:
            if await erasures.is_erased(transaction, principal.id):
                raise Unauthenticated("The account was deleted.")
            new = NewImage(
                id=new_id(),
                owner_id=principal.id,
                object_key=upload.object_key,
                content_type=upload.content_type,
                size=upload.size,
                sha256=upload.sha256,
            )
            payload = ImageProcess(target="image", target_id=new.id, object_key=upload.object_key)
            image = await self._images.add(transaction, new)
            job_id = await self._enqueue(transaction, principal, payload)
            accepted = Accepted(image, await self._job(transaction, job_id))
            upload.keep()
            return accepted

        if operation.key is None:
            # Refuse before the bytes are stored. With a key this may be a replay.
            await self._require_room(principal)
        async with AsyncExitStack() as stack:
            received = self._uploads.receive(body, content_type)
            result = await operation.run(
                self._database,
                insert,
                prepare=lambda: stack.enter_async_context(received),
                respond=respond,
                identify=lambda upload: (upload.sha256, upload.content_type),
            )
        return result.response

    async def upload_avatar(
        self, principal: Principal, body: AsyncIterator[bytes], content_type: str | None
    ) -> JobRecord:
        """Store an avatar, and return its job. There is no row: users keeps the variants."""
        await self._require_room(principal)
        async with self._uploads.receive(body, content_type) as upload:
            payload = ImageProcess(
                target="avatar", target_id=principal.id, object_key=upload.object_key
            )
            async with self._database.transaction() as transaction:
                job_id = await self._enqueue(transaction, principal, payload)
                job = await self._job(transaction, job_id)
                upload.keep()
        return job

    @retry_once
    async def get(self, principal: Principal, image_id: UUID) -> Image:
        """Return an image. Raises NotFound, also for an image of another owner."""
        async with self._database.read() as reader:
            return await self._visible(reader, principal, image_id)

    @retry_once
    async def list(
        self, principal: Principal, *, owner_id: UUID | None, limit: int, after: Position | None
    ) -> Sequence[Row]:
        """Return images, newest first. Without `owner_id` those of the user, or all for an admin.

        The rows are those of `ImageRepository.list_rows`.

        Raises Forbidden where a user requests the images of another.
        """
        owner = listed_owner(principal, owner_id)
        async with self._database.read_prepared() as reader:
            return await self._images.list_rows(reader, owner_id=owner, limit=limit, after=after)

    async def variant_url(
        self, principal: Principal, image_id: UUID, name: str, method: ReadMethod = "GET"
    ) -> str:
        """Return a URL for `method`, valid for 5 minutes. Raises NotFound without the variant."""
        image = await self.get(principal, image_id)
        for variant in image.variants:
            if variant.name == name:
                return await self._store.presign(variant.object_key, PRESIGNED_FOR, method=method)
        raise NotFound("The variant does not exist.")

    @retry_once
    async def delete(
        self, principal: Principal, image_id: UUID, expected: Collection[int] | None
    ) -> None:
        """Delete the image and its objects.

        Raises NotFound, PreconditionFailed where the row is at none of the `expected` versions.
        """
        async with self._database.transaction() as transaction:
            await self._visible(transaction, principal, image_id)
            deleted = await self._images.delete(transaction, image_id, expected)
            if deleted is None:
                raise PreconditionFailed("The image has changed since that version.")
        await self._remove_objects(deleted)

    @retry_once
    async def report(self, image_id: UUID, report: VariantReport) -> None:
        """Store the variants of the worker. Idempotent by job.

        Raises NotFound for a deleted image, Conflict where a newer job has reported.
        """
        if (report.rejected is None) == (not report.variants):
            raise UnprocessableContent(
                "Send either variants or a reason for their rejection.",
                errors=[FieldError("/body/variants", "goes without /body/rejected")],
            )
        async with self._database.transaction() as transaction:
            if await self._images.apply(transaction, image_id, report):
                return
            image = await self._images.get(transaction, image_id)
        if image is None:
            raise NotFound("The image does not exist.")
        if image.job_id != report.job_id:
            raise Conflict("A newer job has already reported.")

    async def reprocess(
        self, transaction: Transaction, principal: Principal, image_id: UUID
    ) -> UUID:
        """Queue the job that makes the variants again, and return its id.

        Raises UnprocessableContent for an image of another owner.
        """
        image = await self._images.get(transaction, image_id)
        if image is None or not may_see(principal, image):
            raise UnprocessableContent(
                "image_id names none of your images.",
                errors=[FieldError("/body/payload/image_id", "is no image of yours")],
            )
        payload = ImageProcess(target="image", target_id=image.id, object_key=image.object_key)
        return await self._enqueue(transaction, principal, payload)

    async def find(self, reader: Reader, image_id: UUID) -> Image | None:
        return await self._images.get(reader, image_id)

    async def _require_room(self, principal: Principal) -> None:
        async with self._database.read() as reader:
            await self._quota.require_room(reader, principal.id)

    async def _enqueue(
        self, transaction: Transaction, principal: Principal, payload: ImageProcess
    ) -> UUID:
        await self._quota.require_room(transaction, principal.id)
        return await self._jobs.enqueue(transaction, IMAGE_PROCESS, payload, owner_id=principal.id)

    async def _visible(self, reader: Reader, principal: Principal, image_id: UUID) -> Image:
        image = await self._images.get(reader, image_id)
        if image is None or not may_see(principal, image):
            raise NotFound("The image does not exist.")
        return image

    async def _job(self, reader: Reader, job_id: UUID) -> JobRecord:
        job = await self._jobs.get(reader, job_id)
        if job is None:
            raise RuntimeError("a job that was just inserted does not exist")
        return job

    async def _remove_objects(self, image: Image) -> None:
        try:
            async with asyncio.timeout(_DELETE_TIMEOUT), asyncio.TaskGroup() as group:
                for key in image.object_keys:
                    group.create_task(self._store.delete(key))
        except Exception as error:  # the row is deleted; the sweeper deletes orphans
            _log.warning("objects_orphaned", image_id=str(image.id), reason=repr(error))


def may_see(principal: Principal, image: Image) -> bool:
    """Return whether the principal, as owner or admin, may see the image and start its jobs."""
    return image.owner_id == principal.id or principal.is_admin


def listed_owner(principal: Principal, owner_id: UUID | None) -> UUID | None:
    """Return the owner of the rows in a list; None for all. Raises Forbidden for another owner."""
    if principal.is_admin:
        return owner_id
    if owner_id not in (None, principal.id):
        raise Forbidden("Only admins may list the data of others.")
    return principal.id
