"""Images, their variants and objects: the worker's calls to the owner of the rows."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

# Maximum length in pixels of the longer side, by the variant's name.
VARIANTS = {"128": 128, "512": 512, "1024": 1024}


class ImageStatus(StrEnum):
    PROCESSING = "processing"
    READY = "ready"
    REJECTED = "rejected"


class Variant(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    object_key: str
    content_type: str
    width: int
    height: int
    size: Annotated[int, Field(description="Size in bytes.")]


class VariantReport(BaseModel):
    """The variants of an image, or the reason for having none. Idempotent by `job_id`.

    The owner keeps the newest job of each target by `job_created_at`; an older one gets 409, which
    the worker treats as done.
    """

    job_id: UUID
    job_created_at: datetime
    variants: Annotated[list[Variant], Field(json_schema_extra={"maxItems": 10})] = []
    rejected: str | None = None


class ImageErasure(BaseModel):
    """One step of the erasure of a deleted account's images, repeated until none is left.

    `deleted` lists images of the last response whose objects are deleted, so that the owner can
    delete their rows. A worker that stops in between leaves rows, which the next run finds.
    """

    job_id: UUID
    deleted: Annotated[list[UUID], Field(max_length=1000)] = []


class ImageObjects(BaseModel):
    id: UUID
    object_keys: list[str] = Field(json_schema_extra={"maxItems": 20})


class ImagesToErase(BaseModel):
    """The next images whose objects the worker must delete; empty at the end."""

    images: list[ImageObjects] = Field(json_schema_extra={"maxItems": 100})


class ObjectKeys(BaseModel):
    """Keys of objects: to check, or, in the response, those that belong to no row."""

    keys: Annotated[list[str], Field(max_length=1000)]


class ObjectRange(BaseModel):
    """All keys in S3 with `prefix`, after `after`, up to and including `through` or the end.

    The owner of the rows finds missing objects by it. It ignores rows that changed since `before`,
    whose objects may be newer than the listing.
    """

    prefix: Literal["uploads/", "variants/image/"]
    after: str = ""
    through: str | None = None
    keys: Annotated[list[str], Field(max_length=1000)]
    before: datetime


class ImageIds(BaseModel):
    """Images with missing objects: found in a range, or to be repaired."""

    ids: Annotated[list[UUID], Field(max_length=1000)]
