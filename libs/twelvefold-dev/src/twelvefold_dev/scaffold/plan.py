"""What a new service is called and has, and the files that this takes."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelvefold.service.definition import Service

from .clashes import find_clash
from .errors import ScaffoldError
from .templating import render

_NAME = re.compile(r"[a-z][a-z0-9]{1,19}")
_TABLE = re.compile(r"[a-z][a-z0-9_]{1,23}")
# Names that something else in a deployment or in endpoints.json has.
_RESERVED = frozenset({
    "backing", "collector", "common", "console", "dns", "gateway", "ingress", "internal", "istiod",
    "jobs", "mail", "management", "mesh", "monitoring", "operator", "platform", "postgres",
    "public", "redis", "routing", "s3", "tests", "twelvefold",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One new service: its name, its table, whether clients or services call it, and a job kind.

    Raises ScaffoldError where the names cannot be used.
    """

    name: str
    table: str
    public: bool
    callers: tuple[str, ...] = ()
    jobs: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or keyword.iskeyword(self.name):
            raise ScaffoldError(
                f"{self.name!r} cannot be a service's name: 2 to 20 lower-case letters and digits"
            )
        if self.name in _RESERVED:
            raise ScaffoldError(f"the name {self.name} is taken by another part of the suite")
        taken = self.table in dir(builtins) or keyword.iskeyword(self.item)
        if taken or not _TABLE.fullmatch(self.table):
            raise ScaffoldError(
                f"{self.table!r} cannot be a table's name: 2 to 24 lower-case letters, digits and _"
            )

    @property
    def item(self) -> str:
        """One row of the table, in the singular."""
        if self.table.endswith("ies"):
            return f"{self.table[:-3]}y"
        for ending in ("sses", "shes", "ches", "xes"):
            if self.table.endswith(ending):
                return self.table[:-2]
        if self.table.endswith("s") and not self.table.endswith("ss"):
            return self.table[:-1]
        return f"{self.table}_item"

    def check(self, root: Path, services: Mapping[str, Service]) -> None:
        """Raise ScaffoldError where the checkout has something of this name already."""
        if self.name in services:
            raise ScaffoldError(f"there is a service {self.name} already")
        taken = [str(path) for path in self.folders() if _has_content(root / path)]
        if taken:
            raise ScaffoldError(f"{', '.join(taken)} exists already: remove it first")
        spec = importlib.util.find_spec(self.name)
        if spec is not None and spec.origin is not None:
            raise ScaffoldError(f"a Python package {self.name} is installed: choose another name")
        if clash := find_clash(self.files()):
            raise ScaffoldError(f"{clash}: choose another name or table")
        if self.public:
            self._check_prefix(services)
        unknown = set(self.callers) - set(services)
        if unknown:
            raise ScaffoldError(f"no service {', '.join(sorted(unknown))} can be a caller")

    def _check_prefix(self, services: Mapping[str, Service]) -> None:
        # The gateway compares characters, not segments.
        for service in services.values():
            for prefix in service.prefixes:
                if self.prefix.startswith(prefix) or prefix.startswith(self.prefix):
                    raise ScaffoldError(
                        f"{self.prefix} is not separate from {prefix} of {service.name}: "
                        "choose another table"
                    )

    @property
    def path(self) -> str:
        """The table as the last segment of a path."""
        return self.table.replace("_", "-")

    @property
    def prefix(self) -> str:
        """The public paths."""
        return f"/api/v1/{self.path}"

    def folders(self) -> list[Path]:
        """Return what belongs to the service alone, relative to the checkout."""
        return paths_of(self.name)

    def files(self) -> dict[Path, str]:
        """Return the content of every file by its path, relative to the checkout."""
        values = self.values()
        package = Path("services") / self.name
        source = package / "src" / self.name
        files = {package / "pyproject.toml": "package/pyproject.toml"}
        for name in _MODULES:
            files[source / f"{name}.py"] = f"package/{name}.py"
        if self.jobs:
            files[source / "jobs.py"] = "package/jobs.py"
        files[source / f"migrations/versions/0001_{self.name}.py"] = "package/migration.py"
        files[Path(f"tests/integration/{self.name}/test_{self.name}.py")] = "tests/test_api.py"
        files[Path(f"tests/observability/cases/{self.name}.py")] = "tests/alerts.py"
        for kind in ("charts", "istio"):
            for name in _CHART_FILES:
                target = Path(kind) / self.name
                place = target / "templates" / name if name == "all.yaml" else target / name
                files[place] = f"{kind}/{name}"
        files[Path(f"charts/{self.name}/files/rules/{self.name}.yaml")] = "charts/rules.yaml"
        return {path: render(f"service/{name}", **values) for path, name in files.items()}

    def runbook(self) -> str:
        """Return the section of docs/reference/alerts.md."""
        return render("service/runbook.md", **self.values())

    def values(self) -> dict[str, Any]:
        """Return what the templates of a service name."""
        owner = "principal.id" if self.public else "owner_id"
        accounts = "/internal/v1/accounts/{owner_id}"
        location = "{router.prefix}" if self.public else f"{accounts}/{self.path}"
        # An export comes from api, an erasure from worker.
        accepted = sorted({"api", "worker", *self.callers})
        article = "an" if self.item[0] in "aeiou" else "a"
        return {
            "name": self.name,
            "Name": self.name.capitalize(),
            "NAME": self.name.upper(),
            "table": self.table,
            "Table": camel(self.table),
            "item": self.item,
            "an_item": f"{article} {self.item.replace('_', ' ')}",
            "Item": camel(self.item),
            "path": self.path,
            "public": self.public,
            "jobs": self.jobs,
            "callers": self.callers,
            "accepted": accepted,
            "accepted_text": ", ".join(f'"{caller}"' for caller in accepted),
            "callers_text": ", ".join(f'"{caller}"' for caller in self.callers),
            "owner": owner,
            "owner_parameter_reads": "principal: Reads" if self.public else "owner_id: OwnerId",
            "owner_parameter_writes": "principal: Writes" if self.public else "owner_id: OwnerId",
            "location": location,
            "full_path": self.prefix if self.public else f"{accounts}/{self.path}",
        }


_MODULES = (
    "__init__", "__main__", "app", "models", "repository", "routes", "schemas", "service",
    "settings",
)  # fmt: skip
_CHART_FILES = (
    "Chart.yaml", "values.yaml", "values-dev.yaml", "values-staging.yaml",
    "values-production.yaml", "all.yaml",
)  # fmt: skip


def paths_of(name: str) -> list[Path]:
    """Return the folders and files that belong to a service alone, relative to the checkout."""
    return [
        Path(f"services/{name}"),
        Path(f"charts/{name}"),
        Path(f"istio/{name}"),
        Path(f"tests/integration/{name}"),
        Path(f"tests/observability/cases/{name}.py"),
        Path(f"docs/api/{name}.json"),
        Path(f"docs/api/{name}-internal.json"),
    ]


def _has_content(path: Path) -> bool:
    """Return whether there is anything but the caches of an earlier service of this name."""
    if not path.is_dir():
        return path.exists()
    return any(file.is_file() and file.parent.name != "__pycache__" for file in path.rglob("*"))


def camel(text: str) -> str:
    """Return a name in snake case as that of a class."""
    return "".join(part.capitalize() for part in text.split("_"))
