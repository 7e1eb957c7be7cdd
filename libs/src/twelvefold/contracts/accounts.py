"""What users answers and the edge passes on: accounts, profiles, tokens."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, SecretStr


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must not contain control characters")
    return value.strip()


Name = Annotated[
    str,
    Field(min_length=1, max_length=100, examples=["Ada Lovelace"]),
    AfterValidator(_printable),
]


def _encodable(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:  # JSON can spell half a character, UTF-8 cannot
        raise ValueError("must be Unicode text") from None
    return value


# NIST SP 800-63B and OWASP ASVS 6.2: length counts, composition does not; no truncation.
Password = Annotated[SecretStr, Field(min_length=8, max_length=256), AfterValidator(_encodable)]


class User(BaseModel):
    """An account as its owner and admins see it."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    email: EmailStr
    name: str
    role: Role
    email_verified: bool
    disabled: bool
    has_avatar: bool
    created_at: datetime
    updated_at: datetime


class UserCreate(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.com"])]
    name: Name
    password: Password


class UserUpdate(BaseModel):
    """Only the fields that are given change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None


class TokenPair(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a scheme's name, no secret)
    expires_in: int = Field(description="Seconds until the access token expires.")
    refresh_token: str
    scope: str


class EmailContent(BaseModel):
    """What the worker needs to send one mail, fetched at send time so that no job row holds it."""

    to: EmailStr
    name: str
    link: str | None = None
