"""The steps that replace a signing key without refusing a single token.

Owns their order and how long each must last: publish the new key second, sign with it once
everybody has it, drop the old one once its last token has expired. Times stand beside the keys as
members of their JWKs, which readers ignore (RFC 7517 section 4), and count from the step: deploy
each result before the next is due. Not where a set is kept.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .keys import KeySet
from .tokens import TOKEN_TTL

# istiod, the slowest reader of a published set, fetches it every 20 minutes: three chances.
PUBLICATION_DELAY = timedelta(minutes=60)
RETIREMENT_DELAY = timedelta(seconds=TOKEN_TTL) + PUBLICATION_DELAY
PUBLISHED, RETIRED = "published_at", "retired_at"  # RFC 3339


@dataclass(frozen=True, slots=True)
class RotationStep:
    """The set after a step, what was done (nothing: `changed` False), and when the next is due."""

    document: dict[str, Any]
    output: str
    due: datetime | None
    changed: bool = True

    def to_json(self) -> str:
        """With the private parts: a secret."""
        return json.dumps(self.document)


def signing_since(content: str) -> datetime | None:
    """When the key that signs was made, where its set says so. Raises MalformedKey."""
    KeySet.from_json(content)
    document = json.loads(content)
    keys = document.get("keys", [document]) if isinstance(document, dict) else document
    written = keys[0].get(PUBLISHED)
    return _read(written) if isinstance(written, str) else None


def generate(now: datetime) -> RotationStep:
    """A set of one new key."""
    return RotationStep({"keys": [_new(now)]}, "made a key", None)


def rotate(content: str, now: datetime) -> RotationStep:
    """The next step of a rotation, or the first of a new one. Raises MalformedKey."""
    KeySet.from_json(content)
    document = copy.deepcopy(json.loads(content))
    if not isinstance(document, dict) or "keys" not in document:
        document = {"keys": document if isinstance(document, list) else [document]}
    first, *others = document["keys"]
    waiting = [key for key in others if "d" in key and RETIRED not in key]
    retired = [key for key in others if key not in waiting]
    # A key of unknown age may have been published, or retired, this very moment.
    for key, member in [(key, PUBLISHED) for key in waiting] + [(key, RETIRED) for key in retired]:
        key.setdefault(member, _written(now))
    if waiting:
        new, rest = waiting[0], [key for key in others if key is not waiting[0]]
        due = _read(new[PUBLISHED]) + PUBLICATION_DELAY
        if now < due:
            return RotationStep(
                document, "the new key is being spread", due, _changed(content, document)
            )
        first[RETIRED] = _written(now)
        return RotationStep(
            {**document, "keys": [new, first, *rest]},
            "signs with the new key",
            now + RETIREMENT_DELAY,
        )
    if retired:
        due = min(_read(key[RETIRED]) + RETIREMENT_DELAY for key in retired)
        if now < due:
            output = "tokens of the old key may still be in use"
            return RotationStep(document, output, due, _changed(content, document))
        left = [key for key in retired if now < _read(key[RETIRED]) + RETIREMENT_DELAY]
        return RotationStep({**document, "keys": [first, *left]}, "dropped the old key", None)
    added = {**document, "keys": [first, _new(now)]}
    return RotationStep(
        added, "published a new key, which does not sign yet", now + PUBLICATION_DELAY
    )


def _new(now: datetime) -> dict[str, Any]:
    (key,) = json.loads(KeySet.generate().to_json())["keys"]
    return {**key, PUBLISHED: _written(now)}


def _changed(content: str, document: dict[str, Any]) -> bool:
    return bool(json.loads(content) != document)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _read(written: str) -> datetime:
    return datetime.fromisoformat(written)
