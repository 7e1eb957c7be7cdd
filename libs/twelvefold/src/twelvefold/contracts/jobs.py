"""Kinds of jobs and their payloads. A payload holds ids, never tokens, links or email texts."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

__all__ = [
    "JobPayload",
]

EMAIL_SEND = "email.send"
IMAGE_PROCESS = "image.process"
ACCOUNT_ERASE = "account.erase"
CACHE_EVICT = "cache.evict"
# The kinds that this release may enqueue. Workers must know a kind before a process enqueues it.
KINDS = (EMAIL_SEND, IMAGE_PROCESS, ACCOUNT_ERASE, CACHE_EVICT)
# Attempts by kind, which a producer stores with the job so that a waiting job shows its limit. A
# kind that is missing here has the default.
MAX_ATTEMPTS: Mapping[str, int] = {
    # They cover an outage of a mail server or of S3 of about two hours.
    EMAIL_SEND: 30,
    IMAGE_PROCESS: 30,
    # A requested erasure must not end after two hours.
    ACCOUNT_ERASE: 100,
    # Until Redis is available, or the entry has expired.
    CACHE_EVICT: 100,
}


class EmailTemplate(StrEnum):
    WELCOME = "welcome"
    VERIFY = "verify"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"  # sent to the requested address, not the account's
    EMAIL_CHANGED = "email_changed"  # sent to the account's previous address
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  (a template's name, not a secret)


class JobPayload(BaseModel):
    """Base of every payload; ignores unknown fields of a newer producer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EmailSend(JobPayload):
    template: EmailTemplate
    user_id: UUID


class ImageProcess(JobPayload):
    """Make the variants of an uploaded object and report them to its owner."""

    target: Literal["image", "avatar"]
    target_id: UUID  # an image's id, or a user's id for an avatar
    object_key: str


class AccountErase(JobPayload):
    user_id: UUID


class CacheEvict(JobPayload):
    """Remove a cached entry older than `version`, because the cache could not be updated.

    The job is retried until the cache is available.
    """

    key: str
    version: int
