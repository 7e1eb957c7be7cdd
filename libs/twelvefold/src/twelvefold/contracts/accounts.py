"""What users answers and the edge passes on: accounts, profiles, tokens."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    SecretStr,
    model_validator,
)

from .images import Variant
from .text import (
    MAX_PASSWORD_LENGTH,
    MAX_RAW_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    fold_spaces,
    has_forbidden_characters,
    normalize_password,
)


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


def _clean_name(value: str) -> str:
    if has_forbidden_characters(value):
        raise ValueError("must not contain control or bidirectional formatting characters")
    folded = fold_spaces(value)
    if not folded:
        raise ValueError("must not be blank")
    return folded


Name = Annotated[
    str,
    Field(min_length=1, max_length=100, examples=["Ada Lovelace"]),
    AfterValidator(_clean_name),
]


def _encodable(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:  # JSON can spell half a character, UTF-8 cannot
        raise ValueError("must be Unicode text") from None
    return value


def _normalized(value: SecretStr) -> SecretStr:
    password = normalize_password(value.get_secret_value())
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise ValueError(
            f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters,"
            " counted once its Unicode form is normalised"
        )
    return SecretStr(password)


# NIST SP 800-63B and OWASP ASVS 6.2: length counts, composition does not; no truncation. Counted
# after normalisation; the schema's upper bound is for what a client sends, which may be longer.
Password = Annotated[
    SecretStr,
    Field(
        min_length=MIN_PASSWORD_LENGTH,
        max_length=MAX_RAW_PASSWORD_LENGTH,
        description="8 to 256 characters, counted in Unicode's form NFKC.",
    ),
    AfterValidator(_encodable),
    AfterValidator(_normalized),
]


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


def user_cache_key(user_id: UUID) -> str:
    """Return the key of an account's entry in the read cache: users writes it, api reads it."""
    return f"user:{user_id}"


class UserCreate(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.com"])]
    name: Name
    password: Password

    @property
    def profile(self) -> dict[str, Any]:
        """The fields that are columns of the account as they are."""
        return self.model_dump(exclude={"email", "password"})


class UserUpdate(BaseModel):
    """Only the fields that are given change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None


class UserAdminUpdate(BaseModel):
    """What only an admin may change. Only the fields that are given change."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: bool | None = Field(None, description="True ends every session at once.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.role is None and self.disabled is None:
            raise ValueError("give role, disabled or both")
        return self


class UserPosition(BaseModel):
    """Where a page of users ends; the edge makes its cursor of it."""

    created_at: datetime
    id: UUID


class UserPage(BaseModel):
    """Users, newest first."""

    items: list[User]
    next: UserPosition | None = Field(None, description="None on the last page.")


# Any length that a password ever had, as its client spells it; a longer one would only cost work.
GivenPassword = Annotated[
    SecretStr, Field(max_length=MAX_RAW_PASSWORD_LENGTH), AfterValidator(_encodable)
]


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current: GivenPassword
    new: Password


class EmailChange(BaseModel):
    """The new address counts once a link that was mailed to it has been followed."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.org"])]
    password: GivenPassword | None = Field(
        None, description="The account's password. Without it, or with a wrong one, 403."
    )


class Session(BaseModel):
    """A login that has not ended. Its id is the `sid` of its access tokens."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    address: str | None
    current: bool = Field(description="Whether the caller's own token is of this session.")


class SessionList(BaseModel):
    """At most 1,000, the latest used first."""

    items: list[Session]


class MailRecord(BaseModel):
    """A mail with a link, or a notice of a change: its purpose and where it went, never the link."""

    purpose: str
    email: EmailStr
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class UserExport(BaseModel):
    """Everything that users keeps about an account; of secrets only when they changed."""

    user: User
    password_changed_at: datetime
    email_verified_at: datetime | None
    disabled_at: datetime | None
    avatar: list[Variant]
    pending_email: EmailStr | None = Field(
        None, description="A new address that is not confirmed yet."
    )
    reserved_emails: list[EmailStr] = Field(
        default_factory=list, description="Former addresses that can still be restored."
    )
    sessions: list[Session]
    active_days: list[date] = Field(description="Days (UTC) on which tokens were issued.")
    mails: list[MailRecord] = Field(
        description="Mails with a link that counts, and recent notices."
    )


class DailyAccounts(BaseModel):
    """One day (UTC). Registrations count accounts that are gone by now, too."""

    day: date
    registrations: int
    active_users: int


class DailyAccountsReport(BaseModel):
    """A row for every day that was asked for, zeros included, in their order."""

    items: list[DailyAccounts]


class AccountErasure(BaseModel):
    """Sent by the worker to each owner of an account's data; idempotent."""

    job_id: UUID


class TokenRequest(BaseModel):
    """A grant by RFC 6749 section 4.3.2 or 6, and what the edge knows of the client."""

    # A newer edge may send more than this release knows.
    model_config = ConfigDict(extra="ignore", frozen=True)

    grant_type: str = Field(examples=["password"])
    username: str | None = None
    password: SecretStr | None = None
    refresh_token: SecretStr | None = None
    user_agent: str | None = None
    address: str | None = None


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
    name: str = Field(description="Empty where the address is not proven to be the account's.")
    link: str | None = None
