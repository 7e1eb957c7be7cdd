"""Bodies of the public API, as the OpenAPI document shows them. No behaviour."""

from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr

from api.repository import images as repository
from twelvefold.contracts.accounts import Password, User, UserExport
from twelvefold.contracts.images import ImageStatus
from twelvefold.database.prepared import Row
from twelvefold.http.rest.pagination import Page
from twelvefold.jobs import JobRecord, JobStatus

_IMAGE_ID = "0198c5f0-7b1c-7a52-9d0e-4a6c2f1b8e11"
_JOB_ID = "0198c5f0-7b2a-7c31-8f4d-93b7e05d6a22"
_USER_ID = "0198c5ef-1d04-7e90-a3c2-5f81d7b640c3"
_TIME = "2026-03-01T09:30:00Z"


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class ImageVariant(BaseModel):
    """A smaller copy, in WebP and without metadata."""

    name: str = Field(description="Longest side in pixels.", examples=["128"])
    url: str = Field(description="Path that redirects to the bytes.")
    content_type: str
    width: int
    height: int
    size: int = Field(description="Bytes.")


_VARIANT = {
    "name": "128",
    "url": f"/api/v1/images/{_IMAGE_ID}/128",
    "content_type": "image/webp",
    "width": 128,
    "height": 96,
    "size": 4021,
}
_IMAGE = {
    "id": _IMAGE_ID,
    "owner_id": _USER_ID,
    "status": "ready",
    "reason": None,
    "content_type": "image/jpeg",
    "size": 482113,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "variants": [_VARIANT],
    "created_at": _TIME,
    "updated_at": _TIME,
}
_JOB = {
    "id": _JOB_ID,
    "type": "image.process",
    "status": "queued",
    "progress": 0,
    "attempts": 0,
    "max_attempts": 5,
    "created_at": _TIME,
    "run_at": _TIME,
    "started_at": None,
    "finished_at": None,
    "result": None,
    "error": None,
}


class Image(BaseModel):
    """An uploaded image."""

    model_config = _example(_IMAGE)

    id: UUID
    owner_id: UUID
    status: ImageStatus
    reason: str | None = Field(description="Why it was rejected.")
    content_type: str = Field(description="Type of the upload, detected from its bytes.")
    size: int = Field(description="Bytes of the upload.")
    sha256: str = Field(description="SHA-256 of the upload, hexadecimal.")
    variants: list[ImageVariant] = Field(
        description="Empty until the image is ready.", json_schema_extra={"maxItems": 10}
    )
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: repository.Image) -> Self:
        """Return the public form of `row`, without object keys and jobs."""
        return cls(
            id=row.id,
            owner_id=row.owner_id,
            status=row.status,
            reason=row.reason,
            content_type=row.content_type,
            size=row.size,
            sha256=row.sha256,
            variants=[
                ImageVariant(
                    name=variant.name,
                    url=f"/api/v1/images/{row.id}/{variant.name}",
                    content_type=variant.content_type,
                    width=variant.width,
                    height=variant.height,
                    size=variant.size,
                )
                for variant in row.variants
            ],
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @staticmethod
    def item(row: Row) -> dict[str, Any]:
        """Return the public form of a row of `list_rows`, ready for JSON, without a model."""
        path = f"/api/v1/images/{row['id']}"
        item = {name: row[name] for name in Image.model_fields}
        item["variants"] = [
            {
                "name": variant["name"],
                "url": f"{path}/{variant['name']}",
                "content_type": variant["content_type"],
                "width": variant["width"],
                "height": variant["height"],
                "size": variant["size"],
            }
            for variant in row["variants"]
        ]
        return item


class Job(BaseModel):
    """Background work that a request started."""

    model_config = _example(_JOB)

    id: UUID
    type: str
    status: JobStatus
    progress: int = Field(ge=0, le=100, description="Per cent.")
    attempts: int = Field(description="Runs that ended in an error.")
    max_attempts: int
    created_at: datetime
    run_at: datetime = Field(description="Not before then.")
    started_at: datetime | None
    finished_at: datetime | None
    result: dict[str, Any] | None
    error: str | None = Field(description="Why it failed, was rejected or is dead.")

    @classmethod
    def of(cls, record: JobRecord) -> Self:
        return cls.model_validate(record, from_attributes=True)

    @staticmethod
    def item(row: Row) -> dict[str, Any]:
        """Return the public form of a row of `list_job_rows`, ready for JSON, without a model."""
        return dict(row)


class ImageAccepted(BaseModel):
    """The image and the job that makes its variants."""

    model_config = _example(
        {"image": {**_IMAGE, "status": "processing", "variants": []}, "job": _JOB}
    )

    image: Image
    job: Job


class ImagePage(Page[Image]):
    """One page of images, newest first."""


class JobPage(Page[Job]):
    """One page of jobs, newest first."""


class JobCreate(BaseModel):
    """`image.process` takes `{"image_id": …}`. Admins may start every other type as well."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"type": "image.process", "payload": {"image_id": _IMAGE_ID}}]
        },
    )

    type: Annotated[str, Field(min_length=1, max_length=100)]
    payload: dict[str, Any]


class EmailAddress(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.com"])]


# A token from an emailed link. Secret, so that no error or log shows it.
MailedToken = Annotated[SecretStr, Field(min_length=1, max_length=512)]


class EmailConfirmation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: MailedToken


class EmailChangeUndo(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: MailedToken


class PasswordReset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: MailedToken
    password: Password


class UserList(Page[User]):
    """One page of accounts, newest first."""


class AccountExport(BaseModel):
    """All data that is kept about the caller."""

    account: UserExport
    services: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="What further services keep, by their name."
    )
    images: list[Image]
    jobs: list[Job] = Field(description="Jobs that are not pruned yet.")


class JobCount(BaseModel):
    type: str
    status: JobStatus
    count: int


class DailyAnalytics(BaseModel):
    """One day in UTC."""

    day: date
    registrations: int
    active_users: int = Field(description="Accounts for which tokens were issued.")
    images: int = Field(description="Uploads of that day that are not deleted.")
    jobs: list[JobCount] = Field(
        description="Jobs of that day by type and current status, while they are kept.",
        json_schema_extra={"maxItems": 1_000},
    )


class DailyAnalyticsReport(BaseModel):
    """Every requested day, in order."""

    items: list[DailyAnalytics] = Field(json_schema_extra={"maxItems": 366})


_Names = Annotated[list[str], Field(json_schema_extra={"maxItems": 20})]


class ServerMetadata(BaseModel):
    """Metadata of the token endpoints (RFC 8414)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    jwks_uri: str
    service_documentation: str
    scopes_supported: _Names
    response_types_supported: _Names
    grant_types_supported: _Names
    token_endpoint_auth_methods_supported: _Names
    revocation_endpoint_auth_methods_supported: _Names
