"""What somebody asked for on the command line, in the terms of a rollout.

Owns spelling: durations, shares, images, `--set`. Everything wrong is one Refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .model import RolloutRefused

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
_WHOLE = 100


def duration(text: str) -> float:
    """Seconds of `30s`, `500ms`, `2m`, `1h`, `30`. Raises Refused."""
    found = _DURATION.match(text.strip())
    if not found:
        raise RolloutRefused(f"{text!r} is no duration: write 500ms, 30s or 2m")
    return float(found[1]) * _SECONDS[found[2]]


def shares(text: str) -> tuple[int, ...]:
    """Percents that grow, up to 100, which may be left out. Raises Refused."""
    try:
        found = [int(part.strip().removesuffix("%")) for part in text.split(",")]
    except ValueError:
        raise RolloutRefused(f"{text!r} are no shares: write 5,25,50,100") from None
    if found[-1] != _WHOLE:
        found.append(_WHOLE)
    if found != sorted(set(found)) or found[0] < 1 or found[-1] > _WHOLE:
        raise RolloutRefused(f"{text}: shares grow from 1 to {_WHOLE} percent")
    return tuple(found)


def image(text: str) -> dict[str, str]:
    """`image` of a chart's values: from a tag, a digest, or a whole reference. Raises Refused."""
    rest, _, digest = text.partition("@") if not text.startswith("sha256:") else ("", "", text)
    if digest and not _DIGEST.match(digest):
        raise RolloutRefused(f"{digest!r} is no digest: sha256: and 64 hexadecimal characters")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # a port is no tag
        repository, tag = (rest, "") if "/" in rest or digest else ("", rest)
    if tag and not _TAG.match(tag):
        raise RolloutRefused(f"{tag!r} is no tag")
    if tag == "latest":
        raise RolloutRefused("latest names no release: give a version or a digest")
    if not (tag or digest):
        raise RolloutRefused(f"{text!r} names no version: give a tag or a digest")
    found = {"tag": tag, "digest": digest}
    return {"repository": repository, **found} if repository else found


def merged(
    base: Mapping[str, Any],
    files: Iterable[Path],
    sets: Iterable[str] = (),
    last: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Values in Helm's order: what is there, files, single ones, what counts most. Raises Refused."""
    result = dict(base)
    for file in files:
        try:
            found = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise RolloutRefused(f"{file}: {str(error).splitlines()[0]}") from None
        if not isinstance(found, dict):
            raise RolloutRefused(f"{file} holds no values")
        result = _over(result, found)
    for one in sets:
        result = _over(result, _single(one))
    return _over(result, last or {})


def _single(text: str) -> dict[str, Any]:
    path, equals, value = text.partition("=")
    names = path.split(".")
    if not equals or not all(names) or "[" in path or "\\" in path:
        raise RolloutRefused(
            f"--set {text}: write NAME.NAME=VALUE, or a values file for what is harder"
        )
    try:
        found: Any = yaml.safe_load(value) if value else ""
    except yaml.YAMLError:
        raise RolloutRefused(f"--set {text}: {value!r} is no value") from None
    for name in reversed(names):
        found = {name: found}
    return dict(found)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[name] = _over(under, value) if both else value  # type: ignore[arg-type] # checked
    return result
