"""What the charts of a service know of the others: calls, callers, scopes, and account data.

A chart of pods and a chart of routing name the peers on both sides. Reasons that are there stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from twelvefold.service.definition import (
    Service,
    account_data_hooks,
    calls_of,
    further_scopes,
)

from .errors import ListMissing

# Peers that are no services of the suite: their lines belong to whoever wrote the chart.
_SCOPES = "  JWT_SCOPES: "  # a setting of the service that issues tokens
_ACCOUNT_DATA = "  ACCOUNT_DATA_URLS: "  # of those that export and erase accounts
_SERVERS = frozenset({"postgres", "redis", "s3", "mail", "collector", "cloudIdentity"})


def write_edges(text: str, service: Service, services: Mapping[str, Service]) -> str:
    """Return the values file of one of the service's two charts with its calls, callers and scopes.

    Raises ListMissing where the file has no place for them.
    """
    lines = text.splitlines()
    calls = calls_of(service, services)
    callers = {
        name: reason
        for name, one in sorted(services.items())
        if (reason := calls_of(one, services).get(service.name))
    }
    if service.is_internal:
        _write_callers(lines, callers)
    at, end = _block(lines, "calls:")
    kept = [line for line in lines[at:end] if _name(line) in {*_SERVERS, *calls}]
    missing = [name for name in calls if name not in map(_name, kept)]
    lines[at:end] = [*(f"  {name}: {calls[name]}" for name in missing), *kept]
    settings = {
        _SCOPES: ",".join(further_scopes(services.values())),
        _ACCOUNT_DATA: ",".join(map(_hook, account_data_hooks(services.values()))),
    }
    for at, line in enumerate(lines):
        for start, value in settings.items():
            if line.startswith(start):
                lines[at] = f'{start}"{value}"'
    return "\n".join(lines) + "\n"


def _hook(name: str) -> str:
    return f"{name}=http://{name}:{{{{ .Values.global.peers.{name}.port }}}}"


def _write_callers(lines: list[str], callers: Mapping[str, str]) -> None:
    start, end = _block(lines, "callers:")
    for at in range(start, end):
        if lines[at].startswith("  internal: ["):
            lines[at] = f"  internal: [{', '.join(callers)}]"
            return
        if lines[at] == "  internal:":
            last = _end(lines, at + 1, indent=4)
            kept = [line for line in lines[at + 1 : last] if _name(line) in callers]
            present = {_name(line) for line in kept}
            added = [f"    {name}: {why}" for name, why in callers.items() if name not in present]
            lines[at + 1 : last] = kept + added
            return
    raise ListMissing("a chart of a service with an internal port has no `callers.internal`")


def _block(lines: list[str], header: str) -> tuple[int, int]:
    """Return where the lines under a top-level key begin and end."""
    if header not in lines:
        raise ListMissing(f"a chart of a service has no `{header}`")
    at = lines.index(header) + 1
    return at, _end(lines, at, indent=2)


def _end(lines: list[str], at: int, *, indent: int) -> int:
    while at < len(lines) and lines[at].startswith(" " * indent):
        at += 1
    return at


def _name(line: str) -> str:
    return line.strip().partition(":")[0]


def value_files(root: Path, service: str) -> Iterable[Path]:
    """Return the values files of a service's charts, as far as it has charts."""
    paths = (root / kind / service / "values.yaml" for kind in ("charts", "istio"))
    return [path for path in paths if path.exists()]
