"""The attack table of access tokens (RFC 8725), and what a good one says."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from twelvefold.contracts.accounts import Role
from twelvefold.errors import Unauthenticated
from twelvefold.security.keys import KeySet
from twelvefold.security.principals import scope_of
from twelvefold.security.tokens import LEEWAY, MAX_TOKEN_LENGTH, TokenIssuer, TokenVerifier

ISSUER, AUDIENCE = "https://issuer.test", "twelvefold-api"
KEYS = KeySet.generate()
OTHER_KEYS = KeySet.generate()
SUB, SID = uuid.uuid4(), uuid.uuid4()
PUBLIC_PEM = KEYS.keys[0].public.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


async def published():
    return KEYS.public_jwks()


@pytest.fixture
def issuer():
    return TokenIssuer(KEYS, ISSUER, AUDIENCE)


@pytest.fixture
def verifier():
    return TokenVerifier(published, issuer=ISSUER, audience=AUDIENCE)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(SUB),
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "jti": "1",
        "sid": str(SID),
        "role": "user",
        "scope": "users:read",
    }
    good.update(changes)
    return {name: value for name, value in good.items() if value is not None}


def forged(
    payload: dict[str, Any] | None = None,
    *,
    key: Any = KEYS.signing_key,
    algorithm: str = "ES256",
    **header: Any,
) -> str:
    headers: dict[str, Any] = {"typ": "at+jwt", "kid": KEYS.signing_kid} | header
    headers = {name: value for name, value in headers.items() if value is not None}
    return jwt.encode(payload or claims(), key, algorithm, headers)


def raw(header: dict[str, Any], payload: dict[str, Any], signature: bytes = b"") -> str:
    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    return ".".join(
        (
            encoded(json.dumps(header).encode()),
            encoded(json.dumps(payload).encode()),
            encoded(signature),
        )
    )


def signed_by_the_public_key_as_a_secret(algorithm: str = "HS256") -> str:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": KEYS.signing_kid}
    signing_input = raw(header, claims()).rpartition(".")[0]
    signature = hmac.digest(PUBLIC_PEM, signing_input.encode(), hashlib.sha256)
    return raw(header, claims(), signature)


def own_jwk_in_the_header() -> dict[str, Any]:
    return {"jwk": OTHER_KEYS.public_jwks()["keys"][0]}


NOW = int(time.time())
ATTACKS = {
    "alg none": raw({"alg": "none", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "alg None": raw({"alg": "None", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "no alg": raw({"typ": "at+jwt", "kid": KEYS.signing_kid}, claims()),
    "signature stripped": forged().rpartition(".")[0] + ".",
    "signature of zeros": forged().rpartition(".")[0] + "." + "A" * 86,
    "HS256 with the public key": signed_by_the_public_key_as_a_secret(),
    "ES256 header over an HMAC": signed_by_the_public_key_as_a_secret("ES256"),
    "RS256": forged(
        key=rsa.generate_private_key(public_exponent=65537, key_size=2048), algorithm="RS256"
    ),
    "ES384": forged(key=ec.generate_private_key(ec.SECP384R1()), algorithm="ES384"),
    "another key under our kid": forged(key=OTHER_KEYS.signing_key),
    "another key under its kid": forged(key=OTHER_KEYS.signing_key, kid=OTHER_KEYS.signing_kid),
    "another key by jwk": forged(key=OTHER_KEYS.signing_key, **own_jwk_in_the_header()),
    "another key by jku": forged(
        key=OTHER_KEYS.signing_key, kid="theirs", jku="http://127.0.0.1:1/jwks.json"
    ),
    "another key by x5u": forged(key=OTHER_KEYS.signing_key, kid="theirs", x5u="http://127.0.0.1:1"),
    "no kid": forged(kid=None),
    "kid is a path": forged(kid="../../dev/null"),
    "kid is a list": raw({"alg": "ES256", "typ": "at+jwt", "kid": ["a"]}, claims(), b"0" * 64),
    "critical extension": forged(crit=["exp"]),
    "typ JWT": forged(typ="JWT"),
    "no typ": forged(typ=None),
    "typ of an id token": forged(typ="id+jwt"),
    "other issuer": forged(claims(iss="https://other.test")),
    "audience in a list": forged(claims(aud=[AUDIENCE, "other"])),
    "other audience": forged(claims(aud="other")),
    "expired": forged(claims(exp=NOW - LEEWAY - 1)),
    "expires never": forged(claims(exp=None)),
    "expires at a word": raw(
        {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.signing_kid}, claims(exp="later")
    ),
    "not yet valid": forged(claims(nbf=NOW + 3600)),
    "issued in the future": forged(claims(iat=NOW + 3600)),
    "role made up": forged(claims(role="root")),
    "subject no id": forged(claims(sub="1 OR 1=1")),
    "session no id": forged(claims(sid="x")),
    "scope no string": forged(claims(scope=["admin"])),
    "too long": forged(claims(scope="a" * MAX_TOKEN_LENGTH)),
    "not a token": "not-a-token",
    "empty": "",
    "three dots": "...",
    "not ASCII": "é.é.é",
    "payload changed": forged().split(".")[0] + "." + forged(claims(role="admin")).split(".")[1]
    + "." + forged().split(".")[2],
}  # fmt: skip
ATTACKS |= {
    f"without {name}": forged(claims(**{name: None}))
    for name in ("iss", "aud", "sub", "iat", "nbf", "jti", "sid", "role", "scope")
}


@pytest.mark.parametrize("token", ATTACKS.values(), ids=ATTACKS)
async def test_a_forged_token_is_refused(verifier, token):
    with pytest.raises(Unauthenticated) as refused:
        await verifier.verify(token)
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]
    if token:
        assert token not in refused.value.detail


async def test_an_issued_token_names_account_session_role_and_scopes(issuer, verifier):
    token = issuer.issue(SUB, Role.ADMIN, scope_of(Role.ADMIN), SID)
    principal = await verifier.verify(token)
    assert (principal.id, principal.session_id, principal.role) == (SUB, SID, Role.ADMIN)
    assert "admin" in principal.scopes
    assert principal.is_admin
    assert 590 < principal.expires_at - time.time() <= 600
    assert token not in repr(principal)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": KEYS.signing_kid}


async def test_an_issued_token_has_every_claim_that_rfc_9068_requires(issuer):
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    issued = jwt.decode(token, options={"verify_signature": False})
    assert issued.keys() >= {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"}
    assert issued["client_id"] == "twelvefold"


async def test_a_token_without_a_client_verifies_as_the_release_before_has_issued_it(verifier):
    assert "client_id" not in claims()
    assert (await verifier.verify(forged(claims()))).id == SUB


async def test_tokens_of_the_former_issuer_verify_while_it_is_accepted(issuer, verifier):
    former = TokenIssuer(KEYS, "twelvefold", AUDIENCE)
    upgrading = TokenVerifier(
        published, issuer=ISSUER, audience=AUDIENCE, accepted_issuers=["twelvefold"]
    )
    for one in (issuer, former):
        token = one.issue(SUB, Role.USER, "users:read", SID)
        assert (await upgrading.verify(token)).id == SUB
    with pytest.raises(Unauthenticated):
        await upgrading.verify(forged(claims(iss="https://other.test")))
    with pytest.raises(Unauthenticated):
        await verifier.verify(former.issue(SUB, Role.USER, "users:read", SID))


async def test_an_admin_role_without_the_scope_is_not_an_admin(issuer, verifier):
    token = issuer.issue(SUB, Role.ADMIN, scope_of(Role.USER), SID)
    assert not (await verifier.verify(token)).is_admin


async def test_a_remembered_token_is_refused_once_it_has_expired(monkeypatch, issuer, verifier):
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    await verifier.verify(token)
    later = time.time() + 600 + LEEWAY + 1
    monkeypatch.setattr("twelvefold.security.tokens.time.time", lambda: later)
    # The JWT library has a clock of its own, which this patch does not move.
    monkeypatch.setattr(verifier, "_verified", _verified_anew)
    with pytest.raises(Unauthenticated, match="anew"):
        await verifier.verify(token)


async def _verified_anew(token):
    raise Unauthenticated("verified anew")


async def test_only_so_many_tokens_are_remembered(monkeypatch, issuer, verifier):
    monkeypatch.setattr("twelvefold.security.tokens.REMEMBERED", 2)
    for _ in range(4):
        await verifier.verify(issuer.issue(SUB, Role.USER, "users:read", SID))
    assert len(verifier._remembered) == 2


async def test_a_token_of_a_withdrawn_key_is_forgotten(issuer):
    sets = [KEYS.public_jwks(), OTHER_KEYS.public_jwks()]

    async def rotated():
        return sets.pop(0)

    verifier = TokenVerifier(rotated, issuer=ISSUER, audience=AUDIENCE)
    token = issuer.issue(SUB, Role.USER, "users:read", SID)
    await verifier.verify(token)
    verifier._keys._requested_at = None  # the pause between two fetches is over
    other = TokenIssuer(OTHER_KEYS, ISSUER, AUDIENCE)
    await verifier.verify(other.issue(SUB, Role.USER, "users:read", SID))
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)
