"""The secrets of a stack, generated on first use and stored in one private file."""

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
    """Secrets by name, such as `redis.password`. A new one is written before it is returned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._secrets: dict[str, str] = read_json(path) or {}

    def get(self, name: str, create: Callable[[], str] = _random) -> str:
        """Return the secret `name`; `create` generates it at first."""
        if name not in self._secrets:
            self._secrets[name] = create()
            write_private(self._path, self._secrets)
        return self._secrets[name]

    def server_credentials(self) -> ServerCredentials:
        """Return the credentials of the embedded servers."""
        return ServerCredentials(
            postgres_password=self.get("postgres.superuser"),
            redis_password=self.get("redis.password"),
            s3=S3Credentials(
                self.get("s3.access_key_id", lambda: f"TF{secrets.token_hex(9).upper()}"),
                self.get("s3.secret_access_key"),
            ),
        )
