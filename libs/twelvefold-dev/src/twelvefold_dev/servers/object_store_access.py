"""Who gets into SeaweedFS beside its S3 port: its own parts, and no page of a browser.

A page of any origin reaches every port of the loopback address, and the filer answers with
`Access-Control-Allow-Origin: *`. Owns the keys by which the inner ports know each other, and the
certificate that closes the one that knows no keys.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Writes and reads of the volumes and of the filer: each is a call that its caller signs.
_SIGNED = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)
_VALID = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class S3Credentials:
    access_key_id: str
    secret_access_key: str


def inner_keys(credentials: S3Credentials) -> dict[str, str]:
    """SeaweedFS's settings by which its parts sign their calls, derived from the S3 secret."""
    secret = credentials.secret_access_key.encode()
    return {name: hmac.digest(secret, name.encode(), "sha256").hex() for name in _SIGNED}


def write_certificate(path: Path) -> None:
    """A new key with a certificate of its own, for its owner alone. Nobody else gets one by it."""
    # Not above: the supervisor needs them once in the life of its data.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "twelvefold-laptop")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    partial.replace(path)
