"""The stack's secrets: random, made when first asked for, kept in one private file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

from twelvefold_dev.checkout import read_json, write_private
from twelvefold_dev.servers.embedded import ServerCredentials
from twelvefold_dev.servers.object_store_access import S3Credentials


def _random() -> str:
    return secrets.token_urlsafe(32)


class SecretStore:
    """Names are of the form `group.name`. A new one is on disk before it is returned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = read_json(path) or {}

    def get(self, name: str, create: Callable[[], str] = _random) -> str:
        if name not in self._known:
            self._known[name] = create()
            write_private(self._path, self._known)
        return self._known[name]

    def server_credentials(self) -> ServerCredentials:
        """What the embedded servers ask of their clients."""
        return ServerCredentials(
            postgres_password=self.get("postgres.superuser"),
            redis_password=self.get("redis.password"),
            s3=S3Credentials(
                self.get("s3.access_key_id", lambda: f"TF{secrets.token_hex(9).upper()}"),
                self.get("s3.secret_access_key"),
            ),
        )
