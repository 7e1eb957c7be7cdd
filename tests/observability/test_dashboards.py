"""The dashboards of the chart are current, fit Grafana's schema, and use valid PromQL."""

import json

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from tests.observability.dashboards import FOLDER, main
from tests.observability.expressions import selectors

WIDTH = 24  # columns of Grafana's grid
FILES = sorted(FOLDER.glob("*.json"))


def load(content: dict[str, object]) -> dict[str, object]:
    """Return what Grafana's model keeps of `content`: no unknown fields; raises for wrong types."""
    register_default_plugins()
    dashboard: dict[str, object] = json.loads(JSONEncoder().encode(Dashboard.from_json(content)))
    return dashboard


def test_there_are_the_four_dashboards_of_the_docs():
    assert [path.stem for path in FILES] == ["jobs", "overview", "service", "slo"]


def test_the_files_are_up_to_date():
    assert main(check=True) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_knows_every_field(path):
    content = json.loads(path.read_text())
    assert load(content) == content


def test_an_unknown_field_is_detected():
    content = json.loads(FILES[0].read_text())
    content["panels"][1]["fieldConfig"]["defaults"]["colour"] = "red"
    assert load(content) != content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_have_a_unique_id_a_title_and_a_position(path):
    content = json.loads(path.read_text())
    assert content["uid"] == f"twelvefold-{path.stem}"
    assert content["title"].startswith("Twelvefold: ")
    occupied: set[tuple[int, int]] = set()
    titles, ids = set(), [panel["id"] for panel in content["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in content["panels"]:
        position = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(position["x"], position["x"] + position["w"])
            for y in range(position["y"], position["y"] + position["h"])
        }
        assert not cells & occupied, panel["title"]
        assert position["x"] + position["w"] <= WIDTH
        occupied |= cells
        assert panel["title"]
        titles.add((panel["type"], panel["title"]))
    assert len(titles) == len(content["panels"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_is_promql_with_a_selectable_data_source(path):
    content = json.loads(path.read_text())
    variables = {variable["name"] for variable in content["templating"]["list"]}
    assert "datasource" in variables
    for panel in content["panels"]:
        if panel["type"] == "row":
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references), panel["title"]
        for target in panel["targets"]:
            assert list(selectors(target["expr"])), panel["title"]
