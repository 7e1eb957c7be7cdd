"""The command's arguments: durations, shares, images, values, and the target that they make.

Every function raises RolloutRefused for invalid input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .model import PRIMARY_BEFORE, Cluster, ReleaseNames, RolloutRefused, Target

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)?$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
_MAX_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command's arguments, without those in `Options`."""

    service: str
    to: str
    namespace: str
    context: str | None
    charts: Path
    environment: str | None
    site: Path | None
    values: list[Path]
    sets: list[str]
    abort: bool
    dry_run: bool


def parse_duration(text: str) -> float:
    """Return the seconds of `30s`, `500ms`, `2m`, `1h` or `30`."""
    match = _DURATION.match(text.strip())
    if not match:
        raise RolloutRefused(f"{text!r} is not a duration: write 500ms, 30s or 2m")
    return float(match[1]) * _SECONDS[match[2]]


def parse_shares(text: str) -> tuple[int, ...]:
    """Parse increasing percentages. A missing last 100 is added."""
    try:
        percentages = [int(part.strip().removesuffix("%")) for part in text.split(",")]
    except ValueError:
        raise RolloutRefused(f"{text!r} is not a list of shares: write 5,25,50,100") from None
    if percentages[-1] != _MAX_PERCENT:
        percentages.append(_MAX_PERCENT)
    if (
        percentages != sorted(set(percentages))
        or percentages[0] < 1
        or percentages[-1] > _MAX_PERCENT
    ):
        raise RolloutRefused(f"{text}: shares must increase from 1 to {_MAX_PERCENT} percent")
    return tuple(percentages)


def parse_image(text: str) -> dict[str, str]:
    """Return the chart value `image` for a tag, a digest, or a complete image reference."""
    rest, _, digest = text.partition("@") if not text.startswith("sha256:") else ("", "", text)
    if digest and not _DIGEST.match(digest):
        raise RolloutRefused(f"{digest!r} is not a digest: write sha256: and 64 hex digits")
    repository, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon belongs to a port
        repository, tag = (rest, "") if "/" in rest or digest else ("", rest)
    if tag and not _TAG.match(tag):
        raise RolloutRefused(f"{tag!r} is not a tag")
    if tag == "latest":
        raise RolloutRefused("latest does not identify a release: give a version or a digest")
    if not (tag or digest):
        raise RolloutRefused(f"{text!r} contains no version: give a tag or a digest")
    version = {"tag": tag, "digest": digest}
    return {"repository": repository, **version} if repository else version


def merge_values(
    base: Mapping[str, Any],
    files: Iterable[Path],
    sets: Iterable[str] = (),
    last: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Merge values in Helm's order: `base`, files, `--set` options, `last`. Later ones win."""
    result = dict(base)
    for file in files:
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise RolloutRefused(f"{file}: {str(error).splitlines()[0]}") from None
        if not isinstance(values, dict):
            raise RolloutRefused(f"{file} contains no mapping of values")
        result = _merge(result, values)
    for option in sets:
        result = _merge(result, _parse_set_option(option))
    return _merge(result, last or {})


def _parse_set_option(text: str) -> dict[str, Any]:
    path, equals, value = text.partition("=")
    names = path.split(".")
    if not equals or not all(names) or "[" in path or "\\" in path:
        raise RolloutRefused(f"--set {text}: write NAME.NAME=VALUE, or use a values file")
    try:
        result: Any = yaml.safe_load(value) if value else ""
    except yaml.YAMLError:
        raise RolloutRefused(f"--set {text}: {value!r} is not valid YAML") from None
    for name in reversed(names):
        result = {name: result}
    return dict(result)


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in overrides.items():
        present = result.get(name)
        result[name] = (
            _merge(present, value)
            if isinstance(present, dict) and isinstance(value, dict)
            else value
        )
    return result


def load_values(arguments: Arguments, kind: str) -> dict[str, Any]:
    """Return the values of the environment, with those of the site."""
    files = [arguments.charts / kind / arguments.service / f"values-{arguments.environment}.yaml"]
    if arguments.site is not None:
        files.append(arguments.site)
    return merge_values({}, files)


async def build_target(cluster: Cluster, arguments: Arguments, *, is_routed: bool) -> Target:
    """Return the version to roll out, on the values that the options name or the release has."""
    image = parse_image(arguments.to)
    if arguments.environment is not None:
        base = load_values(arguments, "charts")
    else:
        base = await _read_present_values(cluster, arguments)
    values = merge_values(base, arguments.values, arguments.sets, {"image": image})
    return Target(arguments.service, f"version {arguments.to}", values, is_routed)


async def _read_present_values(cluster: Cluster, arguments: Arguments) -> dict[str, Any]:
    """Return the values of the primary release before the rollout in progress, if there is one."""
    names = ReleaseNames(arguments.service)
    canary = await cluster.release(names.canary)
    if canary is not None and PRIMARY_BEFORE in canary.labels:
        return await cluster.values(names.primary, int(canary.labels[PRIMARY_BEFORE]))
    primary = await cluster.release(names.primary)
    if primary is None or primary.deployed is None:
        raise RolloutRefused(
            f"no release {names.primary} in {arguments.namespace} has values to reuse: give "
            "--environment (and --site), or another --namespace"
        )
    return await cluster.values(names.primary, primary.deployed)
