"""The lists of services in files whose readers cannot derive them.

Everything else derives its list from the declarations or from the folders. `twelvefold workspace`
writes these, and `make generated` checks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from twelvefold.service.definition import Service

from .chart_edges import value_files, write_edges
from .chart_lists import write_backing, write_peers
from .errors import ListMissing
from .gitops_lists import ARGO_CD, FLUX, write_releases
from .pyproject_lists import write_pyproject
from .templating import render

_SKAFFOLD, _OWNERS = "skaffold.yaml", ".github/CODEOWNERS"
_SHARED_MODULES = ("platform", "backing", "mesh")
_MODULE = re.compile(r"^  name: (\S+)$", re.MULTILINE)
_FIRST_PUBLIC_PORT, _FIRST_MANAGEMENT_PORT = 8000, 9000


def _skaffold(text: str, services: Mapping[str, Service]) -> str:
    """Return the file with one module for each service, in the order of the migrations."""
    shared = [module for module in text.split("---\n") if _name_of(module) in _SHARED_MODULES]
    numbers = {name: number for number, name in enumerate(sorted(services))}
    # In the order of the migrations, so that a new service leaves the others their ports.
    public = [name for name, service in services.items() if service.is_public]
    return "---\n".join(
        [
            *shared,
            *(
                render(
                    "skaffold.yaml",
                    name=name,
                    public_port=_FIRST_PUBLIC_PORT + public.index(name) if name in public else None,
                    management_port=_FIRST_MANAGEMENT_PORT + numbers[name],
                )
                for name in services
            ),
        ]
    )


def _name_of(module: str) -> str:
    found = _MODULE.search(module)
    if found is None:
        raise ListMissing(f"{_SKAFFOLD} has a module without a name")
    return found[1]


def _owners(text: str, services: Mapping[str, Service]) -> str:
    """Return the file with a line for each service. A new one belongs to the default owner."""
    lines = text.splitlines()
    default = next((line.split()[1] for line in lines if line.startswith("*")), None)
    if default is None:
        raise ListMissing(f"{_OWNERS} has no default owner: a line that begins with *")
    folders = {f"/services/{name}/": name for name in services}
    kept = [line for line in lines if not _is_of_a_service(line) or line.split()[0] in folders]
    owned = {line.split()[0] for line in kept if line.strip()}
    last = max((at for at, line in enumerate(kept) if _is_of_a_service(line)), default=len(kept))
    missing = [f"{folder:<24}{default}" for folder in sorted(folders) if folder not in owned]
    return "\n".join([*kept[: last + 1], *missing, *kept[last + 1 :]]) + "\n"


def _is_of_a_service(line: str) -> bool:
    return re.match(r"/services/[^/\s]+/\s", line) is not None


FILES: Mapping[str, Callable[[str, Mapping[str, Service]], str]] = {
    "pyproject.toml": write_pyproject,
    "charts/common/values.yaml": write_peers,
    "charts/backing/values.yaml": write_backing,
    _SKAFFOLD: _skaffold,
    _OWNERS: _owners,
    ARGO_CD: write_releases,
    FLUX: write_releases,
}
_OPTIONAL = frozenset({ARGO_CD, FLUX})  # a team may have none


def _changes(root: Path, services: Mapping[str, Service]) -> Iterator[tuple[Path, str, str]]:
    """Yield each file with its present and its new content."""
    for name, change in FILES.items():
        path = root / name
        if name in _OPTIONAL and not path.exists():
            continue
        before = path.read_text(encoding="utf-8")
        yield path, before, change(before, services)
    for service in services.values():
        for path in value_files(root, service.name):
            before = path.read_text(encoding="utf-8")
            yield path, before, write_edges(before, service, services)


def write_lists(root: Path, services: Mapping[str, Service], *, check: bool = False) -> list[str]:
    """Bring the lists of a checkout up to date, or with `check` do not; return which were not.

    `services` is in the order of the migrations. Raises ListMissing where a file has lost its list.
    """
    stale = []
    for path, before, after in _changes(root, services):
        if after == before:
            continue
        stale.append(path.relative_to(root).as_posix())
        if not check:
            path.write_text(after, encoding="utf-8")
    return stale
