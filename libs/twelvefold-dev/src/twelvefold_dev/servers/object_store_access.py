"""Access control of the internal ports of SeaweedFS: only its own components may use them.

A web page of any origin can reach every port of the loopback address, and the filer responds with
`Access-Control-Allow-Origin: *`. Owns the keys that the internal ports require, and the
certificate that closes the master's HTTP port, which supports no keys.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Callers sign each write to and read from the volumes and the filer.
_SIGNING_SETTINGS = (
    "WEED_JWT_SIGNING_KEY",
    "WEED_JWT_SIGNING_READ_KEY",
    "WEED_JWT_FILER_SIGNING_KEY",
    "WEED_JWT_FILER_SIGNING_READ_KEY",
)
_VALID = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """The access key of an S3 account."""

    access_key_id: str
    secret_access_key: str


def derive_signing_keys(credentials: S3Credentials) -> dict[str, str]:
    """Return SeaweedFS's settings with the keys of internal calls, derived from the S3 secret."""
    secret = credentials.secret_access_key.encode()
    return {name: hmac.digest(secret, name.encode(), "sha256").hex() for name in _SIGNING_SETTINGS}


def write_certificate(path: Path) -> None:
    """Write a new private key and its self-signed certificate, readable by the owner only."""
    # Imported here, since the supervisor needs them only before the first start.
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
