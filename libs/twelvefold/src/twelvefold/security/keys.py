"""ES256 keys as JWKs (RFC 7517, RFC 7518 section 6.2): the private set and the published set.

Owns parsing and validation. A set is kept in a setting; `jwks` fetches the published one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric import ec

ALGORITHM = "ES256"
_COORDINATE_BYTES = 32  # of each number on P-256
Jwk = dict[str, str]


class MalformedKey(ValueError):
    """A key or a set that cannot be used. The message names the fault, never a value."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key pair, or the public half of a key that is not used for signing."""

    kid: str
    public: ec.EllipticCurvePublicKey
    private: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)


class KeySet:
    """The issuer's keys. The first signs; all are published and verify.

    `rotation` has the steps by which a key is replaced.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        """Raises MalformedKey where the first key cannot sign or two keys have the same id."""
        if not keys:
            raise MalformedKey("holds no key")
        signing = keys[0].private
        if signing is None:
            raise MalformedKey("key 1, which signs, has no private part (d)")
        if len({key.kid for key in keys}) < len(keys):
            raise MalformedKey("two keys have the same kid")
        self.keys = keys
        self.signing_kid = keys[0].kid
        self.signing_key = signing

    @classmethod
    def generate(cls) -> Self:
        """Return a set of one new key, whose id is its thumbprint."""
        private = ec.generate_private_key(ec.SECP256R1())
        return cls((Key(thumbprint(private.public_key()), private.public_key(), private),))

    @classmethod
    def from_json(cls, content: str) -> Self:
        """Parse a JWK set or a single JWK.

        Raises MalformedKey, which names the key and the fault, never a value.
        """
        try:
            document = json.loads(content)
        except ValueError:
            raise MalformedKey('is not JSON: expected {"keys": [{"kty": "EC", …}]}') from None
        entries = document.get("keys", [document]) if isinstance(document, dict) else document
        if not isinstance(entries, list) or not entries:
            raise MalformedKey('holds no key: expected {"keys": [{"kty": "EC", …}]}')
        keys = []
        for number, entry in enumerate(entries, 1):
            try:
                keys.append(_parse(entry))
            except MalformedKey as error:
                raise MalformedKey(f"key {number} {error}") from None
        return cls(tuple(keys))

    def to_json(self) -> str:
        """Return the JWK set with the private parts, which is a secret."""
        return json.dumps({"keys": [_build_jwk(key, private=True) for key in self.keys]})

    def public_jwks(self) -> dict[str, list[Jwk]]:
        """Return the JWK set of the public parts, to be published."""
        return {"keys": [_build_jwk(key, private=False) for key in self.keys]}


def parse_public_keys(document: Mapping[str, Any]) -> dict[str, ec.EllipticCurvePublicKey]:
    """Return the ES256 keys of a fetched set by kid; others are ignored (RFC 7517 section 5).

    Raises MalformedKey where `document` is not a JWK set.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise MalformedKey("is not a JWK set")
    keys = {}
    for entry in entries:
        try:
            key = _parse(entry)
        except MalformedKey:
            continue
        keys[key.kid] = key.public
    return keys


def thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """Return the key's thumbprint (RFC 7638), which serves as its id."""
    jwk = _build_public_jwk(public)
    ordered = json.dumps(
        {name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":")
    )
    return _encode(hashlib.sha256(ordered.encode()).digest())


def _parse(entry: object) -> Key:
    if not isinstance(entry, dict):
        raise MalformedKey("is not an object")
    if entry.get("kty") != "EC" or entry.get("crv") != "P-256":
        raise MalformedKey("is not an EC key on P-256")
    if entry.get("alg", ALGORITHM) != ALGORITHM or entry.get("use", "sig") != "sig":
        raise MalformedKey(f"is not for {ALGORITHM} signatures")
    x, y = _parse_number(entry, "x"), _parse_number(entry, "y")
    numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
    d = _parse_number(entry, "d") if "d" in entry else None
    try:
        # cryptography checks that the point is on the curve and that d belongs to the point.
        public = numbers.public_key()
        private = ec.EllipticCurvePrivateNumbers(d, numbers).private_key() if d else None
    except ValueError:
        raise MalformedKey("has numbers that are no key pair on P-256") from None
    kid = entry.get("kid", thumbprint(public))
    if not isinstance(kid, str) or not kid:
        raise MalformedKey("has a kid that is not a string")
    return Key(kid, public, private)


def _parse_number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, str):
        raise MalformedKey(f"has no {name}")
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise MalformedKey(f"has {name} that is not base64url") from None
    if len(raw) != _COORDINATE_BYTES:
        raise MalformedKey(f"has {name} of {len(raw)} instead of {_COORDINATE_BYTES} bytes")
    return int.from_bytes(raw, "big")


def _build_public_jwk(public: ec.EllipticCurvePublicKey) -> Jwk:
    numbers = public.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _encode(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
        "y": _encode(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
    }


def _build_jwk(key: Key, *, private: bool) -> Jwk:
    jwk = {**_build_public_jwk(key.public), "alg": ALGORITHM, "use": "sig", "kid": key.kid}
    if private and key.private is not None:
        secret = key.private.private_numbers().private_value
        jwk["d"] = _encode(secret.to_bytes(_COORDINATE_BYTES, "big"))
    return jwk


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
