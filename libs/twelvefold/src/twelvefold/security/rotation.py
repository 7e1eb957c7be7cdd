"""The steps that replace a signing key without invalidating a token.

Owns their order and the delays between them: publish the new key as the second one, sign with it
once all verifiers have fetched it, drop the old one once its last token has expired. The times are
members of the JWKs, which readers ignore (RFC 7517 section 4). They count from the step, so deploy
each result before the next step is due.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .keys import KeySet
from .tokens import TOKEN_TTL

# istiod, the slowest reader of a published set, fetches it every 20 minutes: three attempts.
PUBLICATION_DELAY = timedelta(minutes=60)
RETIREMENT_DELAY = timedelta(seconds=TOKEN_TTL) + PUBLICATION_DELAY
PUBLISHED, RETIRED = "published_at", "retired_at"  # RFC 3339


@dataclass(frozen=True, slots=True)
class RotationStep:
    """The set after a step, a line about the step, and when the next one is due.

    `changed` is False where no step was due and the set is the same as before.
    """

    document: dict[str, Any]
    output: str
    due: datetime | None
    changed: bool = True

    def to_json(self) -> str:
        """Return the JWK set with the private parts, which is a secret."""
        return json.dumps(self.document)


def signing_since(content: str) -> datetime | None:
    """Return when the signing key was made, or None where the set does not say.

    Raises MalformedKey.
    """
    KeySet.from_json(content)
    document = json.loads(content)
    keys = document.get("keys", [document]) if isinstance(document, dict) else document
    published_at = keys[0].get(PUBLISHED)
    return _parse_time(published_at) if isinstance(published_at, str) else None


def generate(now: datetime) -> RotationStep:
    """Return a set of one new key."""
    return RotationStep({"keys": [_create_key(now)]}, "created a key", None)


def rotate(content: str, now: datetime) -> RotationStep:
    """Return the next step of a rotation, or the first of a new one. Raises MalformedKey."""
    KeySet.from_json(content)
    document = copy.deepcopy(json.loads(content))
    if not isinstance(document, dict) or "keys" not in document:
        document = {"keys": document if isinstance(document, list) else [document]}
    first, *others = document["keys"]
    waiting = [key for key in others if "d" in key and RETIRED not in key]
    retired = [key for key in others if key not in waiting]
    # A key of unknown age may have been published, or retired, just now.
    for key, member in [(key, PUBLISHED) for key in waiting] + [(key, RETIRED) for key in retired]:
        key.setdefault(member, _format_time(now))
    if waiting:
        new, rest = waiting[0], [key for key in others if key is not waiting[0]]
        due = _parse_time(new[PUBLISHED]) + PUBLICATION_DELAY
        if now < due:
            output = "verifiers are still fetching the new key"
            return RotationStep(document, output, due, _differs(content, document))
        first[RETIRED] = _format_time(now)
        return RotationStep(
            {**document, "keys": [new, first, *rest]},
            "signs with the new key",
            now + RETIREMENT_DELAY,
        )
    if retired:
        due = min(_parse_time(key[RETIRED]) + RETIREMENT_DELAY for key in retired)
        if now < due:
            output = "tokens of the old key may still be in use"
            return RotationStep(document, output, due, _differs(content, document))
        kept = [key for key in retired if now < _parse_time(key[RETIRED]) + RETIREMENT_DELAY]
        return RotationStep({**document, "keys": [first, *kept]}, "dropped the old key", None)
    added = {**document, "keys": [first, _create_key(now)]}
    return RotationStep(
        added, "published a new key, which does not sign yet", now + PUBLICATION_DELAY
    )


def _create_key(now: datetime) -> dict[str, Any]:
    (key,) = json.loads(KeySet.generate().to_json())["keys"]
    return {**key, PUBLISHED: _format_time(now)}


def _differs(content: str, document: dict[str, Any]) -> bool:
    return bool(json.loads(content) != document)


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _parse_time(value: str) -> datetime:
    return datetime.fromisoformat(value)
