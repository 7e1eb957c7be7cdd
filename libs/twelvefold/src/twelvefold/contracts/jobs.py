"""Kinds of jobs and their payloads. A payload holds ids, never a token, a link or a body."""

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

EMAIL_SEND = "email.send"
IMAGE_PROCESS = "image.process"
ACCOUNT_ERASE = "account.erase"
CACHE_EVICT = "cache.evict"
# What a process of this version may produce: whoever runs jobs has to know all of them first.
KINDS = (EMAIL_SEND, IMAGE_PROCESS, ACCOUNT_ERASE, CACHE_EVICT)


class EmailTemplate(StrEnum):
    WELCOME = "welcome"
    VERIFY = "verify"
    RESET = "reset"
    CHANGE_EMAIL = "change_email"  # goes to the address that is asked for, not the account's
    EMAIL_CHANGED = "email_changed"  # goes to the address that the account had before
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  (a template's name, no secret)


class JobPayload(BaseModel):
    """Base of every payload: unknown fields of a newer producer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EmailSend(JobPayload):
    template: EmailTemplate
    user_id: UUID


class ImageProcess(JobPayload):
    """Makes the variants of an uploaded object and hands them to the object's owner."""

    target: Literal["image", "avatar"]
    target_id: UUID  # the image's id, or the user's for an avatar
    object_key: str


class AccountErase(JobPayload):
    user_id: UUID


class CacheEvict(JobPayload):
    """The row behind a cached entry is at `version` now, and the cache could not be told.

    Done once the cache holds no entry older than that; until it answers, the job waits.
    """

    key: str
    version: int
