"""The lists of services in files: written from the declarations, and only where they differ."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from twelvefold.database.revisions import Migrations
from twelvefold.service.definition import Listener, Service
from twelvefold.service.installed import installed_services
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import PostgresSettings, ServiceSettings
from twelvefold_dev.scaffold.errors import ListMissing
from twelvefold_dev.scaffold.lists import write_lists

ROOT = Path(__file__).parents[3]
FILES = (
    "pyproject.toml",
    "charts/common/values.yaml",
    "charts/backing/values.yaml",
    "skaffold.yaml",
    ".github/CODEOWNERS",
    "docs/examples/argo-cd/applications.yaml",
    "docs/examples/flux/releases.yaml",
)


def never(_: object) -> ServiceProcess:
    raise AssertionError("no process is created here")


class ShopSettings(ServiceSettings, PostgresSettings):
    """With a database, and nothing else."""


SHOP = Service(
    "shop",
    ShopSettings,
    never,
    Migrations("shop", "shop", "shop.migrations", order=3),
    listeners=frozenset({Listener.PUBLIC}),
    calls={"users": "the keys that tokens are signed with"},
    scopes=("shop:read", "users:read"),
)
CHANGED = [*FILES, "charts/users/values.yaml", "istio/users/values.yaml"]


CHARTS = [
    f"{kind}/{name}/values.yaml" for kind in ("charts", "istio") for name in installed_services()
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*FILES, *CHARTS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    return tmp_path


def test_the_lists_of_this_checkout_are_up_to_date() -> None:
    assert write_lists(ROOT, installed_services(), check=True) == []


def test_a_new_service_is_in_every_list_and_its_removal_leaves_no_trace(root: Path) -> None:
    before = {name: (root / name).read_text() for name in (*FILES, *CHARTS)}
    more = {**installed_services(), "shop": SHOP}

    assert write_lists(root, more, check=True) == CHANGED
    assert {name: (root / name).read_text() for name in before} == before
    assert write_lists(root, more) == CHANGED
    assert write_lists(root, more) == []

    project = tomllib.loads((root / "pyproject.toml").read_text())["tool"]
    assert "services/shop/src" in project["mypy"]["mypy_path"]
    assert "shop" in project["coverage"]["run"]["source_pkgs"]
    assert "shop" in project["importlinter"]["root_packages"]
    modules = {
        document["metadata"]["name"]: document
        for document in yaml.safe_load_all((root / "skaffold.yaml").read_text())
    }
    assert list(modules)[-1] == "shop"
    assert [one["port"] for one in modules["shop"]["portForward"]] == [8000, 9000]
    assert (
        "/services/shop/         @twelvefold/maintainers\n"
        in (root / ".github/CODEOWNERS").read_text()
    )

    peers = yaml.safe_load((root / "charts/common/values.yaml").read_text())["global"]["peers"]
    assert peers["shop"] == {"app": "shop", "public": True}
    servers = yaml.safe_load((root / "charts/backing/values.yaml").read_text())["servers"]
    assert {"shop", "shop-migrate"} <= set(servers["postgres"]["callers"])
    assert "shop" not in servers["redis"]["callers"]
    assert "shop_app" in json.loads(servers["postgres"]["settings"]["BOOTSTRAP_ROLE_PASSWORDS"])

    waves = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]
        for one in yaml.safe_load_all((root / FILES[-2]).read_text())
    }
    assert (waves["twelvefold-shop-routing"], waves["twelvefold-shop"]) == ("-1", "3")
    releases = [
        one
        for one in yaml.safe_load_all((root / FILES[-1]).read_text())
        if one["kind"] == "HelmRelease"
    ]
    shop = releases[-1]
    assert (shop["metadata"]["name"], shop["spec"]["dependsOn"]) == ("shop", [{"name": "api"}])

    pods, routing = (
        yaml.safe_load((root / kind / "users/values.yaml").read_text())["callers"]["internal"]
        for kind in ("charts", "istio")
    )
    assert pods["shop"] == "the keys that tokens are signed with"
    assert routing == ["api", "shop", "worker"]
    config = yaml.safe_load((root / "charts/users/values.yaml").read_text())["config"]
    assert config["JWT_SCOPES"] == "shop:read"

    write_lists(root, installed_services())
    assert {name: (root / name).read_text() for name in before} == before


def test_a_new_service_takes_no_port_of_another(root: Path) -> None:
    write_lists(root, {**installed_services(), "accounts": replace(SHOP, name="accounts")})
    ports = {
        one["metadata"]["name"]: one.get("portForward", [])
        for one in yaml.safe_load_all((root / "skaffold.yaml").read_text())
    }
    assert (ports["api"][0]["localPort"], ports["accounts"][0]["localPort"]) == (8000, 8001)


def test_a_service_with_hooks_is_called_by_those_that_export_and_erase_accounts(
    root: Path,
) -> None:
    hooked = replace(
        SHOP,
        listeners=frozenset({Listener.PUBLIC, Listener.INTERNAL}),
        callers=("api", "worker"),
        account_data="hooks",
    )
    before = {name: (root / name).read_text() for name in CHARTS}
    for kind in ("charts", "istio"):
        path = root / kind / "shop/values.yaml"
        path.parent.mkdir()
        path.write_text("callers:\n  internal: []\ncalls:\n  users: keys\n")

    write_lists(root, {**installed_services(), "shop": hooked})

    def values(path: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load((root / path).read_text())
        return found

    assert values("istio/shop/values.yaml")["callers"]["internal"] == ["api", "worker"]
    for caller in ("api", "worker"):
        assert "account" in values(f"charts/{caller}/values.yaml")["calls"]["shop"]
        assert "shop" in values(f"istio/{caller}/values.yaml")["calls"]
        config = values(f"charts/{caller}/values.yaml")["config"]
        url = "shop=http://shop:{{ .Values.global.peers.shop.port }}"
        assert config["ACCOUNT_DATA_URLS"] == url

    write_lists(root, installed_services())
    assert {name: (root / name).read_text() for name in CHARTS} == before


def test_a_team_may_have_no_examples_for_gitops(root: Path) -> None:
    for name in FILES[-2:]:
        (root / name).unlink()
    assert write_lists(root, installed_services()) == []


def test_a_file_that_has_lost_its_list_is_named(root: Path) -> None:
    path = root / "pyproject.toml"
    path.write_text(path.read_text().replace("mypy_path", "my_path"))
    with pytest.raises(ListMissing, match="no mypy_path"):
        write_lists(root, installed_services())
