"""Declarations of services: their contradictions, their order, and which one serves a path."""

from __future__ import annotations

import pytest

from twelvefold.contracts.accounts import Role
from twelvefold.security.principals import ADMIN_SCOPE, USER_SCOPES, scope_of
from twelvefold.service.definition import (
    Listener,
    Service,
    calls_of,
    find_serving,
    further_scopes,
    order_by_calls,
)
from twelvefold.service.installed import installed_services
from twelvefold.service.process import ServiceProcess
from twelvefold.settings import ServiceSettings

PUBLIC, INTERNAL = frozenset({Listener.PUBLIC}), frozenset({Listener.INTERNAL})


def never(_: object) -> ServiceProcess:
    raise AssertionError("no process is created here")


def service(name: str, **parts) -> Service:
    return Service(name, ServiceSettings, never, **parts)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"prefixes": ("/api/v1/things",)}, "need a public listener"),
        ({"callers": ("api",), "listeners": PUBLIC}, "need an internal listener"),
        ({"calls": {"things": "no reason"}}, "calls itself"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(parts, complaint) -> None:
    with pytest.raises(ValueError, match=complaint):
        service("things", **parts)


def test_callers_come_before_the_services_that_they_call() -> None:
    services = [
        service("keys"),
        service("edge", calls={"keys": "keys", "elsewhere": "more"}),
        service("jobs", calls={"edge": "reports", "keys": "keys"}),
        service("alone"),
    ]
    ordered = order_by_calls({one.name: one for one in services})
    assert sorted(ordered) == ["alone", "edge", "jobs", "keys"]
    assert ordered.index("jobs") < ordered.index("edge") < ordered.index("keys")


def test_services_that_call_each_other_are_ordered_too() -> None:
    services = [service("a", calls={"b": "this"}), service("b", calls={"a": "that"})]
    assert sorted(order_by_calls({one.name: one for one in services})) == ["a", "b"]


def test_a_path_belongs_to_the_service_with_its_prefix() -> None:
    things = service("things", listeners=PUBLIC, prefixes=("/api/v1/things", "/docs"))
    others = service("others", listeners=PUBLIC, prefixes=("/api/v1/thingsandmore",))
    for path in ("/api/v1/things", "/api/v1/things/1", "/docs"):
        assert find_serving([others, things], path) is things
    assert find_serving([things, others], "/api/v1/thingsandmore/1") is others
    assert find_serving([things, others], "/api/v1") is None


def test_a_service_may_call_those_that_name_it_as_a_caller() -> None:
    services = {
        "shop": service("shop", calls={"keys": "keys"}),
        "keys": service("keys", listeners=INTERNAL),
        "ledger": service("ledger", listeners=INTERNAL, callers=("shop", "till")),
        "till": service("till", listeners=INTERNAL, calls={"ledger": "entries"}),
    }
    calls = {name: calls_of(one, services) for name, one in services.items()}
    assert calls["shop"] == {"keys": "keys", "ledger": "what its internal API offers"}
    assert calls["till"] == {"ledger": "entries"}
    assert calls["keys"] == calls["ledger"] == {}


def test_every_service_that_may_be_called_has_an_internal_port_and_is_installed() -> None:
    services = installed_services()
    called = {callee for one in services.values() for callee in calls_of(one, services)}
    assert called <= {name for name, one in services.items() if one.is_internal}
    assert {caller for one in services.values() for caller in one.callers} <= set(services)


def test_no_two_installed_services_share_a_public_prefix() -> None:
    services = installed_services().values()
    for one in services:
        for other in services:
            shared = [prefix for prefix in one.prefixes if other.serves(prefix)]
            assert one is other or not shared


def test_every_caller_has_a_setting_for_its_secret_at_the_service_it_calls() -> None:
    for name, one in installed_services().items():
        for caller in one.callers:
            assert f"internal_secrets_{caller}" in one.settings.model_fields, name
        for callee in one.calls:
            assert f"{callee}_url" in one.settings.model_fields, name


def test_a_token_has_the_scopes_of_every_service_once() -> None:
    services = [service("a", scopes=("a:read", "users:read")), service("b", scopes=("a:read",))]
    further = further_scopes(services)
    assert further == ["a:read"]
    assert scope_of(Role.USER, further).split() == [*USER_SCOPES, "a:read"]
    assert scope_of(Role.ADMIN, further).split() == [*USER_SCOPES, "a:read", ADMIN_SCOPE]


def test_the_scopes_of_the_suites_own_api_need_no_setting() -> None:
    assert further_scopes([installed_services()["api"]]) == []
