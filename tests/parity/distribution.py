"""PostgreSQL and Redis as Linux distributions package them, for a suite that is given them by URL.

    apt-get install postgresql redis-server      # on Debian; nothing of it has to run

Owns finding and running them on loopback, with data in a folder of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from twelvefold_dev.system.child_process import SystemUser
from twelvefold_dev.system.ports import LOOPBACK, PortPicker
from twelvefold_dev.system.system_user import postgres_account

_START = 30  # seconds
_PASSWORD = "parity"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where they are."""

    postgres: Path  # the folder of PostgreSQL's server programs
    redis: Path

    @classmethod
    def find(cls) -> Programs | str:
        """What is missing, where something is."""
        homes = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/postgres"),
            key=lambda path: int(path.parts[-3]),
        )
        redis = shutil.which("redis-server")
        if not homes:
            return "no PostgreSQL below /usr/lib/postgresql (Debian: apt-get install postgresql)"
        if redis is None:
            return "no redis-server (Debian: apt-get install redis-server)"
        return cls(homes[-1].parent, Path(redis))

    @property
    def names(self) -> str:
        return f"{_version(self.postgres / 'postgres')}, {_version(self.redis)}"


def _version(program: Path) -> str:
    words = subprocess.run(  # noqa: S603 (a server that is installed)
        [program, "--version"], capture_output=True, text=True, check=True, timeout=10
    ).stdout.split()
    return " ".join(words[:3])


@contextmanager
def running(programs: Programs, folder: Path) -> Iterator[dict[str, str]]:
    """Both, for the time of the block; the settings by which a suite uses them."""
    account, ports = postgres_account(), PortPicker(str(uuid.uuid4()))
    postgres_port, redis_port = ports.take(), ports.take()
    data = folder / "postgres"
    data.mkdir(mode=0o700)
    password = folder / "password"
    password.write_text(_PASSWORD)
    if account is not None:
        shutil.chown(data, account.uid, account.gid)
        password.chmod(0o644)
    options = [f"--pgdata={data}", f"--pwfile={password}", "--username=postgres", "--no-sync"]
    initdb: list[Path | str] = [
        programs.postgres / "initdb",
        *options,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
    ]
    if _run(initdb, account, folder).wait(_START):
        raise RuntimeError(f"initdb failed: {(folder / 'initdb.log').read_text()}")
    listening = {
        "listen_addresses": LOOPBACK,
        "port": str(postgres_port),
        "unix_socket_directories": "",
        "fsync": "off",
    }
    postgres: list[Path | str] = [programs.postgres / "postgres", f"-D{data}"]
    postgres += [f"--{name}={value}" for name, value in listening.items()]
    redis: list[Path | str] = [programs.redis, "--bind", LOOPBACK, "--port", str(redis_port)]
    redis += ["--requirepass", _PASSWORD, "--save", "", "--dir", str(folder)]
    with ExitStack() as stack:
        for command, user in ((postgres, account), (redis, None)):
            child = _run(command, user, folder)
            stack.callback(_end, child)
        ready: list[Path | str] = [
            programs.postgres / "pg_isready",
            "-q",
            "-h",
            LOOPBACK,
            "-p",
            str(postgres_port),
        ]
        deadline = time.monotonic() + _START
        while subprocess.run(ready, check=False, timeout=10).returncode != 0:  # noqa: S603 (as above)
            if time.monotonic() > deadline:
                raise TimeoutError("the distribution's PostgreSQL does not start")
            time.sleep(0.1)
        yield {
            "BOOTSTRAP_DATABASE_URL": (
                f"postgresql://postgres:{_PASSWORD}@{LOOPBACK}:{postgres_port}/postgres"
            ),
            "REDIS_URL": f"redis://:{_PASSWORD}@{LOOPBACK}:{redis_port}/0",
        }


def _run(
    command: list[Path | str], account: SystemUser | None, folder: Path
) -> subprocess.Popen[bytes]:
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 (a server that is installed)
            command,
            cwd=folder,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(2)  # PostgreSQL's fast shutdown; Redis ends, too
    with suppress(subprocess.TimeoutExpired):
        child.wait(10)
        return
    child.kill()
    child.wait()
