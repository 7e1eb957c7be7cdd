"""Bodies of users' internal API that only the edge's client uses."""

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr

from twelvefold.contracts.accounts import Password
from twelvefold.contracts.images import Variant


class _Body(BaseModel):
    # A newer edge may send more than this release knows.
    model_config = ConfigDict(extra="ignore", frozen=True)


class TokenRevocation(_Body):
    """RFC 7009 section 2.1."""

    token: SecretStr


class EmailRequest(_Body):
    email: EmailStr = Field(max_length=254)


class TokenConfirmation(_Body):
    token: SecretStr


class PasswordReset(_Body):
    token: SecretStr
    password: Password


class Avatar(BaseModel):
    variants: list[Variant] = Field(json_schema_extra={"maxItems": 10})


class Jwk(BaseModel):
    """One public key (RFC 7517 section 4)."""

    kty: str
    crv: str
    x: str
    y: str
    alg: str
    use: str
    kid: str


class JwkSet(BaseModel):
    keys: list[Jwk] = Field(json_schema_extra={"maxItems": 100})


class TokenError(BaseModel):
    """RFC 6749 section 5.2."""

    error: str
    error_description: str | None = None
