"""The job kind `image.process`: the variants of an uploaded image."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from twelvefold.contracts.images import Variant, VariantReport
from twelvefold.contracts.jobs import ImageProcess
from twelvefold.errors import Conflict, NotFound, Rejected
from twelvefold.storage.object_store import ObjectStore
from worker.imaging.variants import EncodedVariant, ImageLimits, make_variants
from worker.owners import OwnerClient
from worker.service.job_context import JobContext

VARIANT_MEDIA_TYPE = "image/webp"
CHUNK_BYTES = 64 * 1024
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """Make the variants of uploaded images. `max_bytes` bounds the size of a source."""

    owners: OwnerClient
    store: ObjectStore
    limits: ImageLimits
    max_bytes: int

    async def process(self, job: JobContext, image: ImageProcess) -> dict[str, Any]:
        """Store the variants of one image and report them to the owner of the target.

        Raises Rejected, after reporting the reason to the owner, where the image is invalid, and
        DependencyUnavailable where the owner or S3 is unavailable.
        """
        with tempfile.TemporaryDirectory(prefix="twelvefold-image-") as folder:
            directory = Path(folder)
            try:
                source = await self._fetch(image.object_key, directory / "source")
                await job.set_progress(20)
                encoded = await make_variants(source, directory, self.limits)
            except Rejected as error:
                await self._report(job, image, rejected=error.detail)
                raise
            await job.set_progress(60)
            job.require_lease()
            variants = [await self._store(job, image, variant) for variant in encoded]
        await job.set_progress(90)
        kept = await self._report(job, image, variants=variants)
        return {"variants": [variant.name for variant in variants], "kept": kept}

    async def _fetch(self, key: str, path: Path) -> Path:
        size = 0
        try:
            async with self.store.open(key) as chunks:
                # Chunks of 64 KiB go to the page cache, so that no write blocks for long.
                with path.open("wb") as file:
                    async for chunk in chunks:
                        size += len(chunk)
                        if size > self.max_bytes:
                            raise Rejected(f"has more than {self.max_bytes} bytes")
                        file.write(chunk)
        except NotFound as error:
            raise Rejected("the uploaded file is missing") from error
        return path

    async def _store(
        self, job: JobContext, image: ImageProcess, encoded: EncodedVariant
    ) -> Variant:
        key = f"{variant_prefix(image)}{job.id}/{encoded.name}.webp"
        await self.store.put(key, _read_chunks(encoded.path), VARIANT_MEDIA_TYPE)
        return Variant(
            name=encoded.name,
            object_key=key,
            content_type=VARIANT_MEDIA_TYPE,
            width=encoded.width,
            height=encoded.height,
            size=encoded.size,
        )

    async def _report(
        self,
        job: JobContext,
        image: ImageProcess,
        *,
        variants: Sequence[Variant] = (),
        rejected: str | None = None,
    ) -> bool:
        """Return whether the owner accepted the report."""
        report = VariantReport(
            job_id=job.id,
            job_created_at=job.created_at,
            variants=list(variants),
            rejected=rejected,
        )
        try:
            await self.owners.report(image, report)
        except Conflict:
            # A newer job has reported. The sweeper deletes this job's objects.
            _log.info("report_superseded", target=image.target)
            return False
        except NotFound:
            _log.info("report_target_missing", target=image.target)
            for variant in variants:
                await self.store.delete(variant.object_key)
            return False
        return True


def variant_prefix(image: ImageProcess) -> str:
    """Return the key prefix of all variants of one target."""
    return f"variants/{image.target}/{image.target_id}/"


async def _read_chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
