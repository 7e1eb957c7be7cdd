"""What the worker does: sends letters, makes variants of images. Each use case is idempotent.

Delivery of jobs is at least once. Keys of effects outside derive from the job's id, so that a
second run does nothing new: a mail's Message-ID, the names of objects, a report to its owner.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import structlog

from twelvefold.contracts.images import Variant, VariantReport
from twelvefold.contracts.jobs import EmailSend, ImageProcess
from twelvefold.errors import Conflict, NotFound, Rejected
from twelvefold.mail.mailer import Mailer
from twelvefold.storage.object_store import ObjectStore
from worker.email_rendering import render_email
from worker.imaging.variants import ImageLimits, MadeVariant, make_variants
from worker.owners import OwnerClient

VARIANT_TYPE = "image/webp"
CHUNK_BYTES = 64 * 1024
_log = structlog.get_logger(__name__)


class JobContext(Protocol):
    """What a use case asks of its job (`twelvefold.jobs.Job`)."""

    @property
    def id(self) -> UUID: ...

    @property
    def created_at(self) -> datetime: ...

    def require_lease(self) -> None:
        """Raises LeaseLost once another worker may have the job."""
        ...

    async def set_progress(self, percent: int) -> None:
        """Shows how far the job is."""
        ...


@dataclass(frozen=True, slots=True)
class EmailSender:
    """Sends mails. What they say is fetched when they are sent, so that no row holds a link."""

    owners: OwnerClient
    mailer: Mailer
    sender: str

    async def send(self, job: JobContext, mail: EmailSend) -> None:
        """Raises Rejected where the account is gone or its address is refused for good."""
        try:
            content = await self.owners.email_content(job.id, mail)
        except NotFound as error:
            raise Rejected("the email is no longer needed") from error
        message = render_email(mail.template, content, job=job.id, sender=self.sender)
        job.require_lease()
        await self.mailer.send(message)


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """Makes the variants of uploaded images. `max_bytes` bounds what is fetched of each."""

    owners: OwnerClient
    store: ObjectStore
    limits: ImageLimits
    max_bytes: int

    async def process(self, job: JobContext, image: ImageProcess) -> dict[str, Any]:
        """Raises Rejected, once the owner of the target knows, where the image is at fault."""
        with tempfile.TemporaryDirectory(prefix="twelvefold-image-") as folder:
            directory = Path(folder)
            try:
                source = await self._fetched(image.object_key, directory / "source")
                await job.set_progress(20)
                made = await make_variants(source, directory, self.limits)
            except Rejected as refused:
                await self._report(job, image, rejected=refused.detail)
                raise
            await job.set_progress(60)
            job.require_lease()
            variants = [await self._stored(job, image, variant) for variant in made]
        await job.set_progress(90)
        kept = await self._report(job, image, variants=variants)
        return {"variants": [variant.name for variant in variants], "kept": kept}

    async def _fetched(self, key: str, path: Path) -> Path:
        size = 0
        try:
            async with self.store.open(key) as chunks:
                # In chunks of 64 KiB into the page cache: no write is long.
                with path.open("wb") as file:
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > self.max_bytes:
                            raise Rejected(f"has more than {self.max_bytes} bytes")
                        file.write(chunk)
        except NotFound as error:
            raise Rejected("the uploaded object is not there any more") from error
        return path

    async def _stored(self, job: JobContext, image: ImageProcess, made: MadeVariant) -> Variant:
        key = f"{prefix(image)}{job.id}/{made.name}.webp"
        await self.store.put(key, _read(made.path), VARIANT_TYPE)
        return Variant(
            name=made.name,
            object_key=key,
            content_type=VARIANT_TYPE,
            width=made.width,
            height=made.height,
            size=made.size,
        )

    async def _report(
        self,
        job: JobContext,
        image: ImageProcess,
        *,
        variants: Sequence[Variant] = (),
        rejected: str | None = None,
    ) -> bool:
        """False where the owner has no use for it any more."""
        report = VariantReport(
            job_id=job.id,
            job_created_at=job.created_at,
            variants=list(variants),
            rejected=rejected,
        )
        try:
            await self.owners.report(image, report)
        except Conflict:
            # A newer job has reported. What this one made is nobody's: the sweeper takes it.
            _log.info("report_superseded", target=image.target)
            return False
        except NotFound:
            _log.info("report_target_missing", target=image.target)
            for variant in variants:
                await self.store.delete(variant.object_key)
            return False
        return True


def prefix(image: ImageProcess) -> str:
    """Under it lies everything that was made for one target."""
    return f"variants/{image.target}/{image.target_id}/"


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
