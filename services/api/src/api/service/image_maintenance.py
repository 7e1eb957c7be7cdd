"""Requests of the worker: erase an account's images, keep rows and objects consistent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from api.repository import erasures
from api.repository.images import Image, ImageRepository
from twelvefold.contracts.images import ImageStatus, ObjectRange
from twelvefold.contracts.jobs import IMAGE_PROCESS, ImageProcess
from twelvefold.database.database import Database, Reader
from twelvefold.jobs import JobQueue

from .uploads import PREFIX

_ERASE_BATCH = 100
_CHECK_BATCH = 1000
MAX_MISSING = 1000  # images in one response
_VARIANTS = ("variants", "image")


@dataclass(frozen=True, slots=True)
class ImageMaintenance:
    """The use cases; each may be repeated."""

    database: Database
    images: ImageRepository
    jobs: JobQueue

    async def erase(self, owner_id: UUID, deleted: Sequence[UUID]) -> Sequence[Image]:
        """Delete the rows `deleted` of an erased account; return its next images."""
        async with self.database.transaction() as transaction:
            await erasures.note(transaction, owner_id)
            await self.images.delete_of(transaction, owner_id, deleted)
            await erasures.forget_replies(transaction, owner_id)
            return await self.images.list(transaction, owner_id=owner_id, limit=_ERASE_BATCH)

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        """Return those of `keys` that belong to no image: sources, and variants by image id."""
        ids = {image_id for key in keys if (image_id := _parse_image_id(key)) is not None}
        async with self.database.read() as reader:
            known = await self.images.known_keys(reader, keys, ids)
        return [key for key in keys if key not in known]

    async def missing(self, found: ObjectRange) -> Sequence[UUID]:
        """Return at most MAX_MISSING images that lack an object in the range.

        It is the source of an image without variants, or any variant of an image with variants.
        """
        async with self.database.read() as reader:
            if found.prefix == PREFIX:
                return await self._without_source(reader, found)
            return await self._without_variants(reader, found)

    async def repair(self, ids: Sequence[UUID]) -> None:
        """Repair images that lack objects: queue new variants, or reject an image without variants.

        A job that finds no source rejects its image.
        """
        async with self.database.transaction() as transaction:
            images = await self.images.of(transaction, ids)
            await self.images.reject(
                transaction, ids, "The uploaded file is missing. Upload it again."
            )
            for image in images:
                if image.status is ImageStatus.READY:
                    payload = ImageProcess(
                        target="image", target_id=image.id, object_key=image.object_key
                    )
                    await self.jobs.enqueue(
                        transaction,
                        IMAGE_PROCESS,
                        payload,
                        owner_id=image.owner_id,
                        unique_key=f"mend {image.id} {image.job_id}",
                    )

    async def _without_source(self, reader: Reader, found: ObjectRange) -> Sequence[UUID]:
        present = frozenset(found.keys)
        waiting = await self.images.unfinished(
            reader,
            beyond=found.after,
            through=found.through,
            before=found.before,
            # The present ones, and those to return.
            limit=len(present) + MAX_MISSING,
        )
        return [image.id for image in waiting if image.object_key not in present][:MAX_MISSING]

    async def _without_variants(self, reader: Reader, found: ObjectRange) -> Sequence[UUID]:
        present = frozenset(found.keys)
        missing: list[UUID] = []
        first = _parse_image_id(found.after) or UUID(int=0)
        last = _parse_image_id(found.through) if found.through else None
        while len(missing) < MAX_MISSING:
            images = await self.images.finished(
                reader, first=first, last=last, before=found.before, limit=_CHECK_BATCH
            )
            missing += [image.id for image in images if _lacks(image, found, present)]
            if len(images) < _CHECK_BATCH:
                break
            first = UUID(int=images[-1].id.int + 1)
        return missing[:MAX_MISSING]


def _lacks(image: Image, found: ObjectRange, present: frozenset[str]) -> bool:
    return any(
        key > found.after and (found.through is None or key <= found.through)
        for variant in image.variants
        if (key := variant.object_key) not in present
    )


def _parse_image_id(key: str) -> UUID | None:
    """Return the image in the key of a variant (`variants/image/{id}/…`), or None."""
    parts = key.split("/")
    if tuple(parts[:2]) != _VARIANTS:
        return None
    try:
        return UUID(parts[2])
    except (IndexError, ValueError):
        return None
