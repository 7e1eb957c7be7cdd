"""The optional dependencies: which extra installs which driver.

A service installs the extras of the groups of settings that it inherits, such as
`twelvefold[postgres,redis]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

__all__ = [
    "EXTRAS",
    "MissingExtra",
    "explain_missing",
    "require_extra",
]

# Importable packages by extra; pyproject.toml names the distributions.
EXTRAS: Mapping[str, tuple[str, ...]] = {
    "postgres": ("asyncpg", "sqlalchemy", "alembic"),
    "redis": ("redis", "arq"),
    "s3": ("aioboto3", "aiobotocore", "botocore"),
    "mail": ("aiosmtplib",),
    "otel": (
        "opentelemetry.sdk",
        "opentelemetry.exporter",
        "opentelemetry.instrumentation.fastapi",
        "opentelemetry.instrumentation.asyncpg",
        "opentelemetry.instrumentation.botocore",
    ),
}


class MissingExtra(ImportError):
    """A driver is not installed. The message names the command that installs it."""

    def __init__(self, extra: str, package: str, user: str) -> None:
        super().__init__(
            f'{user} needs {package}, which is not installed: pip install "twelvefold[{extra}]"',
            name=package,
        )


def require_extra(extra: str, user: str) -> None:
    """Raise MissingExtra where a package of `extra` is missing. `user` begins the message."""
    for package in EXTRAS[extra]:
        if not _is_installed(package):
            raise MissingExtra(extra, package, user)


def explain_missing(error: ImportError, user: str) -> MissingExtra | None:
    """Return the failed import of a driver as MissingExtra, or None for any other import."""
    if isinstance(error, MissingExtra):
        return error
    name = error.name or ""
    for extra, packages in EXTRAS.items():
        if any(name == package or name.startswith(f"{package}.") for package in packages):
            return MissingExtra(extra, name, user)
    return None


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False
