"""The key of an idempotent request: its form in the header, and its owner's table.

`idempotency` owns what a key does.
"""

from __future__ import annotations

import re

from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from twelvefold.errors import BadRequest, FieldError

_KEY = re.compile(r'^(?:"([\x20-\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255}))$')


def idempotency_table(metadata: MetaData, schema: str) -> Table:
    """Return the owner's table of keys; its migration creates the same columns."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("status", Integer, nullable=False),
        Column("headers", JSONB, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("expires_at", DateTime(timezone=True), nullable=False, index=True),
        schema=schema,
    )


def parse_key(header: str | None) -> str | None:
    """Return the key: a structured-field string, or without quotes as most clients send it.

    Raises BadRequest for any other form.
    """
    if header is None:
        return None
    matched = _KEY.match(header.strip())
    if not matched:
        raise BadRequest(
            "Idempotency-Key must have 1 to 255 printable characters.",
            errors=[FieldError("/header/idempotency-key", "is malformed")],
        )
    return matched[1] or matched[2]
