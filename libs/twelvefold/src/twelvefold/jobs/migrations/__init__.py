"""Revisions of schema `jobs`, which every service uses; worker's release alone applies them."""

from collections.abc import Iterable

from sqlalchemy import Connection, text


def existing_roles(connection: Connection, roles: Iterable[str]) -> list[str]:
    """Return those of `roles` that exist: a project need not have the services of the suite."""
    known = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    return [role for role in roles if role in known]
