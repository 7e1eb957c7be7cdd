"""The templates of a new service are Python that imports what exists, whatever its names are."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from twelvefold.service.installed import installed_services
from twelvefold_dev.scaffold.errors import ScaffoldError
from twelvefold_dev.scaffold.plan import ServicePlan

PLANS = [
    ServicePlan("orders", "orders", public=True),
    ServicePlan("ledger", "ledger_entries", public=False, callers=("api",)),
    ServicePlan("billing", "invoices", public=True, jobs=True),
    ServicePlan("audit", "audit_entries", public=False, callers=("users",), jobs=True),
]


def imports(source: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import of the shared package and of the tests."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("twelvefold", "tests.fakes", "tests.observability.case")
        ):
            for alias in node.names:
                yield node.module or "", alias.name


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_every_name_that_a_created_module_imports_exists(plan: ServicePlan) -> None:
    missing = [
        f"{path}: {module} has no {name}"
        for path, source in plan.files().items()
        if path.suffix == ".py"
        for module, name in imports(source)
        if not hasattr(importlib.import_module(module), name)
    ]
    assert missing == []


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_values_and_rules_are_yaml_without_placeholders(plan: ServicePlan) -> None:
    files = {path: text for path, text in plan.files().items() if path.suffix == ".yaml"}
    assert len(files) > 10
    for path, text in files.items():
        assert "<<" not in text, path
        if "templates" not in path.parts:
            assert isinstance(yaml.safe_load(text), dict), path


@pytest.mark.parametrize(
    ("table", "item"),
    [
        ("orders", "order"), ("entries", "entry"), ("boxes", "box"), ("classes", "class_item"),
        ("addresses", "address"), ("news", "new"), ("stock", "stock_item"),
    ],
)  # fmt: skip
def test_a_row_is_named_in_the_singular_or_as_an_item(table: str, item: str) -> None:
    try:
        assert ServicePlan("shop", table, public=True).item == item
    except ScaffoldError:
        assert table == "classes"  # `class` is a keyword: another table is asked for


@pytest.mark.parametrize("name", ["a", "Orders", "my-shop", "1st", "class", "redis", "x" * 21])
def test_a_name_that_cannot_be_a_package_a_role_and_a_host_is_refused(name: str) -> None:
    with pytest.raises(ScaffoldError, match=r"cannot be a service's name|is taken"):
        ServicePlan(name, "things", public=True)


@pytest.mark.parametrize(
    ("name", "table", "clash"),
    [
        ("shop", "pages", "schemas.py uses Page"),
        ("shop", "requests", "routes.py uses Request"),
        ("shop", "titles", "schemas.py uses Title"),
        ("shop", "keys", "routes.py uses keys"),
        ("shop", "idempotency_keys", "routes.py uses IdempotencyKey"),
        ("consumer", "orders", "settings.py uses ConsumerSettings"),
    ],
)
def test_a_name_that_the_templates_use_for_something_else_is_refused(name, table, clash) -> None:
    with pytest.raises(ScaffoldError, match=clash):
        ServicePlan(name, table, public=True, jobs=True).check(Path("none"), {})


@pytest.mark.parametrize("table", ["list", "type"])
def test_a_table_named_as_a_builtin_is_refused(table: str) -> None:
    with pytest.raises(ScaffoldError, match="cannot be a table's name"):
        ServicePlan("shop", table, public=True)


@pytest.mark.parametrize("table", ["users", "imagesets", "image"])
def test_a_table_whose_paths_are_not_apart_from_those_of_a_service_is_refused(table: str) -> None:
    services = installed_services()
    with pytest.raises(ScaffoldError, match="is not separate from /api/v1/"):
        ServicePlan("shop", table, public=True).check(Path("none"), services)
    ServicePlan("shop", table, public=False, callers=("api",)).check(Path("none"), services)


def test_every_placeholder_is_known_and_a_chart_names_its_service() -> None:
    public = PLANS[0]
    text = public.files()[Path("charts/orders/values.yaml")]
    assert "ghcr.io/twelvefold/orders" in text
    assert "INTERNAL_SECRETS_WORKER: true" in text
