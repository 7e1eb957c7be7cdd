"""Images and their variants, as the worker reports them to the owner of the row."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

# Name of a variant: the longest side in pixels.
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
    size: Annotated[int, Field(description="Bytes.")]


class VariantReport(BaseModel):
    """PUT by the worker, idempotent by `job_id`: the variants, or why there are none.

    The owner keeps the newest job per target by `job_created_at`; an older one gets 409, which
    the worker treats as done.
    """

    job_id: UUID
    job_created_at: datetime
    variants: list[Variant] = []
    rejected: str | None = None


class ImageErasure(BaseModel):
    """POST by the worker for an account that is gone, again and again until nothing is left.

    `deleted` are images of the last answer whose objects are deleted by now: their rows may go.
    In this order a worker that is lost in between leaves rows, which the next run finds.
    """

    job_id: UUID
    deleted: Annotated[list[UUID], Field(max_length=1000)] = []


class ImageObjects(BaseModel):
    id: UUID
    object_keys: list[str]


class ImagesToErase(BaseModel):
    """The next images whose objects are to be deleted; empty at the end."""

    images: list[ImageObjects]


class ObjectKeys(BaseModel):
    """Keys of objects: asked about, or the answer which of them nobody knows."""

    keys: Annotated[list[str], Field(max_length=1000)]


class ObjectRange(BaseModel):
    """All keys that S3 holds below `prefix` beyond `after`, up to and with `through` or the end.

    By it the owner of the rows tells which objects are missing. Rows that changed since `before`
    do not count: their objects may be younger than the listing.
    """

    prefix: Literal["uploads/", "variants/image/"]
    after: str = ""
    through: str | None = None
    keys: Annotated[list[str], Field(max_length=1000)]
    before: datetime


class ImageIds(BaseModel):
    """Images that miss objects: the answer to a range, or what is to be mended."""

    ids: Annotated[list[UUID], Field(max_length=1000)]
