"""ES256 keys as JWKs (RFC 7517, RFC 7518 section 6.2): the set that signs, the set that is published.

Owns parsing and its refusals. Not where a set is kept (a setting), not how one is fetched (`jwks`).
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
_COORDINATE = 32  # bytes of each number on P-256
Jwk = dict[str, str]


class MalformedKey(ValueError):
    """A key or a set that cannot be used; the message names the fault, never a value."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key pair, or the public half of a key that signs no more (or not yet)."""

    kid: str
    public: ec.EllipticCurvePublicKey
    private: ec.EllipticCurvePrivateKey | None = field(default=None, repr=False)


class KeySet:
    """The issuer's keys. The first signs, every one is published and verifies.

    To rotate, append a new key and let it be published for longer than anybody caches the set,
    then make it the first, then drop the old one after the life of its last token.
    """

    def __init__(self, keys: tuple[Key, ...]) -> None:
        """Raises MalformedKey where the first cannot sign or two have one id."""
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
        private = ec.generate_private_key(ec.SECP256R1())
        return cls((Key(thumbprint(private.public_key()), private.public_key(), private),))

    @classmethod
    def from_json(cls, content: str) -> Self:
        """A JWK set or a single JWK. Raises MalformedKey naming the key and the fault, never a value."""
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
        """With the private parts: a secret."""
        return json.dumps({"keys": [_jwk(key, private=True) for key in self.keys]})

    def public_jwks(self) -> dict[str, list[Jwk]]:
        """What everybody may see: public parts only."""
        return {"keys": [_jwk(key, private=False) for key in self.keys]}


def public_keys(document: Mapping[str, Any]) -> dict[str, ec.EllipticCurvePublicKey]:
    """The ES256 keys of a fetched set by kid; others are passed over (RFC 7517 section 5).

    Raises MalformedKey where `document` is no JWK set at all.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise MalformedKey("is no JWK set")
    found = {}
    for entry in entries:
        try:
            key = _parse(entry)
        except MalformedKey:
            continue
        found[key.kid] = key.public
    return found


def thumbprint(public: ec.EllipticCurvePublicKey) -> str:
    """RFC 7638: an id that follows from the key itself."""
    jwk = _public_part(public)
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
    x, y = _number(entry, "x"), _number(entry, "y")
    numbers = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1())
    d = _number(entry, "d") if "d" in entry else None
    try:
        # cryptography checks that the point is on the curve and that d belongs to it.
        public = numbers.public_key()
        private = ec.EllipticCurvePrivateNumbers(d, numbers).private_key() if d else None
    except ValueError:
        raise MalformedKey("has numbers that do not fit each other on P-256") from None
    kid = entry.get("kid", thumbprint(public))
    if not isinstance(kid, str) or not kid:
        raise MalformedKey("has a kid that is not a string")
    return Key(kid, public, private)


def _number(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, str):
        raise MalformedKey(f"has no {name}")
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise MalformedKey(f"has {name} in another form than base64url") from None
    if len(raw) != _COORDINATE:
        raise MalformedKey(f"has {name} of {len(raw)} instead of {_COORDINATE} bytes")
    return int.from_bytes(raw, "big")


def _public_part(public: ec.EllipticCurvePublicKey) -> Jwk:
    numbers = public.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _encode(numbers.x.to_bytes(_COORDINATE, "big")),
        "y": _encode(numbers.y.to_bytes(_COORDINATE, "big")),
    }


def _jwk(key: Key, *, private: bool) -> Jwk:
    jwk = {**_public_part(key.public), "alg": ALGORITHM, "use": "sig", "kid": key.kid}
    if private and key.private is not None:
        secret = key.private.private_numbers().private_value
        jwk["d"] = _encode(secret.to_bytes(_COORDINATE, "big"))
    return jwk


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
