"""Accounts, profiles, sessions and tokens, as users returns them and the edge passes them on."""

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
    StrictBool,
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


def _require_encodable(value: SecretStr) -> SecretStr:
    try:
        value.get_secret_value().encode()
    except UnicodeEncodeError:  # JSON can hold half a surrogate pair, UTF-8 cannot
        raise ValueError("must be Unicode text") from None
    return value


def _normalize(value: SecretStr) -> SecretStr:
    password = normalize_password(value.get_secret_value())
    if not MIN_PASSWORD_LENGTH <= len(password) <= MAX_PASSWORD_LENGTH:
        raise ValueError(
            f"must have {MIN_PASSWORD_LENGTH} to {MAX_PASSWORD_LENGTH} characters,"
            " counted after Unicode normalisation"
        )
    return SecretStr(password)


# NIST SP 800-63B and OWASP ASVS 6.2: rules for the length, none for the composition, and no
# truncation. The length is counted after normalisation; the schema's upper bound applies before,
# when the text may be longer.
Password = Annotated[
    SecretStr,
    Field(
        min_length=MIN_PASSWORD_LENGTH,
        max_length=MAX_RAW_PASSWORD_LENGTH,
        description="8 to 256 characters, counted after normalisation to NFKC.",
    ),
    AfterValidator(_require_encodable),
    AfterValidator(_normalize),
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
    """A partial update: only the given fields change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None


class UserAdminUpdate(BaseModel):
    """A partial update by an admin: only the given fields change."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: StrictBool | None = Field(None, description="true ends all sessions at once.")

    @model_validator(mode="after")
    def _require_a_change(self) -> Self:
        if self.role is None and self.disabled is None:
            raise ValueError("set role, disabled or both")
        return self


class UserPosition(BaseModel):
    """The last row of a page of users, from which the edge makes its cursor."""

    created_at: datetime
    id: UUID


class UserPage(BaseModel):
    """Users, newest first."""

    items: list[User] = Field(json_schema_extra={"maxItems": 100})
    next: UserPosition | None = Field(None, description="Null on the last page.")


# An existing password, which older rules may have admitted. The bound limits the cost of hashing.
EnteredPassword = Annotated[
    SecretStr, Field(max_length=MAX_RAW_PASSWORD_LENGTH), AfterValidator(_require_encodable)
]


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    current: EnteredPassword
    new: Password


class EmailChange(BaseModel):
    """The new address takes effect when the link in the email to it is confirmed."""

    model_config = ConfigDict(extra="forbid")

    email: Annotated[EmailStr, Field(max_length=254, examples=["ada@example.org"])]
    password: EnteredPassword | None = Field(
        None, description="The account's password. If missing or wrong, the response is 403."
    )


class Session(BaseModel):
    """An active login. Its id is the `sid` of its access tokens."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    address: str | None
    current: bool = Field(description="Whether the caller's token belongs to this session.")


class SessionList(BaseModel):
    """At most 1,000 sessions, most recently used first."""

    items: list[Session] = Field(json_schema_extra={"maxItems": 1_000})


class MailRecord(BaseModel):
    """An email with a link or a notice of a change: purpose and recipient, without the link."""

    purpose: str
    email: EmailStr
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class UserExport(BaseModel):
    """Everything that users stores about an account, except secrets."""

    user: User
    password_changed_at: datetime
    email_verified_at: datetime | None
    disabled_at: datetime | None
    avatar: list[Variant] = Field(json_schema_extra={"maxItems": 10})
    pending_email: EmailStr | None = Field(
        None, description="A new address that awaits confirmation."
    )
    reserved_emails: list[EmailStr] = Field(
        default_factory=list, description="Former addresses that can still be restored."
    )
    sessions: list[Session]
    active_days: list[date] = Field(description="Days (UTC) on which tokens were issued.")
    mails: list[MailRecord] = Field(description="Emails whose link is valid, and recent notices.")


class DailyAccounts(BaseModel):
    """One day (UTC). Registrations include accounts that were deleted later."""

    day: date
    registrations: int
    active_users: int


class DailyAccountsReport(BaseModel):
    """One row for each requested day, in order, days without activity included."""

    items: list[DailyAccounts] = Field(json_schema_extra={"maxItems": 366})


class AccountErasure(BaseModel):
    """The worker's request to each owner of an account's data; idempotent."""

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
    """A successful token response (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  (a scheme's name, not a secret)
    expires_in: int = Field(description="Seconds until the access token expires.")
    refresh_token: str
    scope: str


class EmailContent(BaseModel):
    """The content of one email, fetched when it is sent, so that no job row holds it."""

    to: EmailStr
    name: str = Field(description="Empty unless the address is confirmed.")
    link: str | None = None
