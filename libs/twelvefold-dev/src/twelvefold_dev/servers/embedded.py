"""The four embedded servers together, for tests and for the supervisor.

Owns what they share: data directory, credentials and ports.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from twelvefold_dev.system.ports import PortPicker

from .mail_catcher import MailCatcher
from .object_store import SeaweedPorts, SeaweedServer
from .object_store_access import S3Credentials
from .postgres import PostgresServer
from .redis import RedisServer
from .server import EmbeddedServer, ServerFailed

BUCKET = "twelvefold"
_MAX_TAIL_BYTES = 2_000  # of a server's log, shown with its failure


@dataclass(frozen=True, slots=True)
class ServerCredentials:
    """Random credentials, which must stay the same as long as the data exists."""

    postgres_password: str
    redis_password: str
    s3: S3Credentials

    @classmethod
    def generate(cls) -> ServerCredentials:
        """Create new random credentials."""
        return cls(
            postgres_password=secrets.token_urlsafe(32),
            redis_password=secrets.token_urlsafe(32),
            s3=S3Credentials(f"TF{secrets.token_hex(9).upper()}", secrets.token_urlsafe(32)),
        )


class EmbeddedServers:
    """The four servers, each with its data in its own folder of `directory`."""

    def __init__(
        self,
        directory: Path,
        credentials: ServerCredentials,
        ports: PortPicker,
        *,
        mail_folder: Path | None = None,
        durable: bool = True,
    ) -> None:
        self.directory = directory
        self.postgres = PostgresServer(
            directory / "postgres",
            port=ports.take(),
            password=credentials.postgres_password,
            durable=durable,
        )
        self.redis = RedisServer(
            directory / "redis",
            port=ports.take(),
            password=credentials.redis_password,
            durable=durable,
        )
        self.object_store = SeaweedServer(
            directory / "s3",
            ports=SeaweedPorts.take(ports),
            credentials=credentials.s3,
            bucket=BUCKET,
        )
        self.mail = MailCatcher(mail_folder or directory / "mail", port=ports.take())

    @property
    def all(self) -> tuple[EmbeddedServer, ...]:
        return self.postgres, self.redis, self.object_store, self.mail

    async def start(self) -> None:
        """Start all servers concurrently, with their logs beside their data.

        Raises ServerFailed where one fails, after stopping the others.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as logs:
            starts = [
                server.start(logs.enter_context(self._log(server).open("ab")))
                for server in self.all
            ]
            results = await asyncio.gather(*starts, return_exceptions=True)
        for server, result in zip(self.all, results, strict=True):
            if isinstance(result, BaseException):
                await self.stop()
                raise ServerFailed(
                    server.name, f"failed: {result}\n{self._tail(server)}"
                ) from result

    async def stop(self) -> None:
        """Stop all servers concurrently."""
        await asyncio.gather(*(server.stop() for server in self.all))

    def _log(self, server: EmbeddedServer) -> Path:
        return self.directory / f"{server.name}.log"

    def _tail(self, server: EmbeddedServer) -> str:
        return self._log(server).read_bytes()[-_MAX_TAIL_BYTES:].decode(errors="replace")
