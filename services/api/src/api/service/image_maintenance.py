"""What the worker asks of the owner of images: erasing an account, and keeping rows and objects
together.
"""

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

_ERASED_AT_ONCE = 100
_LOOKED_AT_ONCE = 1000
MOST_MISSING = 1000  # images that one answer names
_VARIANTS = ("variants", "image")


@dataclass(frozen=True, slots=True)
class ImageMaintenance:
    """The use cases; each may be repeated."""

    database: Database
    images: ImageRepository
    jobs: JobQueue

    async def erase(self, owner_id: UUID, deleted: Sequence[UUID]) -> Sequence[Image]:
        """The next images of an account that is gone; rows of `deleted` go. Empty at the end."""
        async with self.database.transaction() as transaction:
            await erasures.note(transaction, owner_id)
            await self.images.delete_of(transaction, owner_id, deleted)
            await erasures.forget_replies(transaction, owner_id)
            return await self.images.list(transaction, owner_id=owner_id, limit=_ERASED_AT_ONCE)

    async def orphans(self, keys: Sequence[str]) -> Sequence[str]:
        """Those of `keys` that belong to no image: sources, and variants by their image's id."""
        ids = {found for key in keys if (found := _image_of(key)) is not None}
        async with self.database.read() as reader:
            known = await self.images.known_keys(reader, keys, ids)
        return [key for key in keys if key not in known]

    async def missing(self, found: ObjectRange) -> Sequence[UUID]:
        """Images of which an object should be in the range and is not: the source of one that
        waits for its variants, any variant of one that has them. At most MOST_MISSING.
        """
        async with self.database.read() as reader:
            if found.prefix == PREFIX:
                return await self._without_source(reader, found)
            return await self._without_variants(reader, found)

    async def repair(self, ids: Sequence[UUID]) -> None:
        """Of images that miss objects: makes the variants anew, refuses those that had none yet.

        An image whose source is gone, too, is refused by the job that finds that out.
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
            # As many as can be present, and those to name.
            limit=len(present) + MOST_MISSING,
        )
        return [image.id for image in waiting if image.object_key not in present][:MOST_MISSING]

    async def _without_variants(self, reader: Reader, found: ObjectRange) -> Sequence[UUID]:
        present = frozenset(found.keys)
        missing: list[UUID] = []
        first = _image_of(found.after) or UUID(int=0)
        last = _image_of(found.through) if found.through else None
        while len(missing) < MOST_MISSING:
            images = await self.images.finished(
                reader, first=first, last=last, before=found.before, limit=_LOOKED_AT_ONCE
            )
            missing += [image.id for image in images if _lacks(image, found, present)]
            if len(images) < _LOOKED_AT_ONCE:
                break
            first = UUID(int=images[-1].id.int + 1)
        return missing[:MOST_MISSING]


def _lacks(image: Image, found: ObjectRange, present: frozenset[str]) -> bool:
    return any(
        key > found.after and (found.through is None or key <= found.through)
        for variant in image.variants
        if (key := variant.object_key) not in present
    )


def _image_of(key: str) -> UUID | None:
    """The image that the key of a variant names: `variants/image/{id}/…`."""
    parts = key.split("/")
    if tuple(parts[:2]) != _VARIANTS:
        return None
    try:
        return UUID(parts[2])
    except (IndexError, ValueError):
        return None
