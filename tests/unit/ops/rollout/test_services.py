"""The services that a rollout finds are those of the charts, whatever their names are."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelvefold_ops.rollout.model import RolloutRefused, Target
from twelvefold_ops.rollout.services import find_services, receives_requests

ROOT = Path(__file__).parents[4]


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    for path in ("charts/shop", "istio/shop", "charts/platform", "istio/mesh"):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "Chart.yaml").write_text("name: one\n")
    return tmp_path


def test_a_service_has_a_chart_of_its_pods_and_one_of_its_routing(charts: Path) -> None:
    assert find_services(charts) == ["shop"]
    assert find_services(charts / "elsewhere") == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ("ports: {http: 8000, management: 9000}", True),
        ("ports: {management: 9000}", False),
        ("", False),
    ],
)
def test_a_service_without_a_port_for_requests_has_no_routing_release(
    charts: Path, values: str, expected: bool
) -> None:
    (charts / "charts/shop/values.yaml").write_text(values)
    is_routed = receives_requests(charts, "shop")
    assert is_routed is expected
    names = Target("shop", "version 1", {}, is_routed).names
    assert names.routing == ("shop-routing" if expected else None)


@pytest.mark.parametrize("values", ["ports: [", "- a list", "ports: 3"])
def test_an_unreadable_chart_is_refused_in_one_line(charts: Path, values: str) -> None:
    (charts / "charts/shop/values.yaml").write_text(values)
    with pytest.raises(RolloutRefused, match=r"shop/values\.yaml"):
        receives_requests(charts, "shop")


def test_of_this_suite_only_worker_receives_no_requests() -> None:
    services = find_services(ROOT)
    unrouted = [service for service in services if not receives_requests(ROOT, service)]
    assert {"api", "users", "worker"} <= set(services)
    assert "worker" in unrouted
