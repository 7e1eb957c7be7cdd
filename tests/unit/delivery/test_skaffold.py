"""skaffold.yaml: that its parts agree with each other and with the tree.

Whether skaffold takes it is shown by skaffold alone; no schema of it comes as a package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.suite import SERVICES

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "skaffold.yaml").read_text()
MODULES: dict[str, Any] = {
    document["metadata"]["name"]: document for document in yaml.safe_load_all(TEXT)
}


def test_every_service_is_a_module_of_its_own_after_what_it_needs() -> None:
    # In the order of the migrations: the other schemas refer to that of jobs.
    assert list(MODULES) == ["platform", "backing", "mesh", *SERVICES]


def test_the_modules_of_services_differ_in_names_and_forwarded_ports_alone() -> None:
    texts = TEXT.split("---\n")[3:]
    common = set()
    for name, part in zip(list(MODULES)[3:], texts, strict=True):
        lines = [line for line in part.splitlines() if not line.startswith("  - {resourceType")]
        text = "\n".join(lines).replace("apiVersion", "version")
        common.add(text.strip().replace(name, "NAME"))
    assert len(common) == 1


def test_no_two_modules_forward_to_the_same_port() -> None:
    ports = [
        forward["localPort"]
        for module in MODULES.values()
        for forward in module.get("portForward", [])
    ]
    assert len(ports) == len(set(ports))


def releases() -> list[dict[str, Any]]:
    return [
        release for module in MODULES.values() for release in module["deploy"]["helm"]["releases"]
    ]


def test_every_chart_and_values_file_is_there() -> None:
    patched = [
        value
        for module in MODULES.values()
        for profile in module.get("profiles", [])
        for patch in profile["patches"]
        if patch["path"].endswith("/valuesFiles")
        for value in patch["value"]
    ]
    named = [release["chartPath"] for release in releases()]
    named += [value for release in releases() for value in release["valuesFiles"]]
    named += [value for value in patched if "{{" not in value]
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("profile", ["staging", "production"])
def test_a_deployed_environment_takes_no_values_of_development(profile) -> None:
    for name, module in MODULES.items():
        (found,) = [entry for entry in module["profiles"] if entry["name"] == profile]
        replaced = {patch["path"] for patch in found["patches"]}
        for number, _ in enumerate(module["deploy"]["helm"]["releases"]):
            path = f"/deploy/helm/releases/{number}"
            assert replaced & {path, f"{path}/valuesFiles"}, (name, path)


def globbed(pattern: str) -> str:
    """A pattern of skaffold's as one of Python's."""
    return pattern.replace("[^", "[!")


@pytest.mark.parametrize("service", SERVICES)
def test_every_edit_of_code_is_synced_and_every_edit_of_a_migration_is_built(service) -> None:
    (dev,) = [entry for entry in MODULES[service]["profiles"] if entry["name"] == "dev"]
    (sync,) = [patch["value"] for patch in dev["patches"] if patch["path"].endswith("/sync")]
    synced = {
        path
        for rule in sync["manual"]
        for path in ROOT.glob(globbed(rule["src"]))
        if path.is_file()
    }
    package = ROOT / "services" / service / "src" / service
    code = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    code |= set((ROOT / "libs/twelvefold/src").rglob("*.py"))
    migrations = {path for path in code if "migrations" in path.parts}

    assert migrations
    assert synced & migrations == set()
    assert code - migrations <= synced
