"""The dashboards as they ship: current, in Grafana's own schema, and asking in valid PromQL."""

import json

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from tests.observability.dashboards import FOLDER, main
from tests.observability.expressions import selectors

WIDTH = 24  # columns of Grafana's grid
FILES = sorted(FOLDER.glob("*.json"))


def loaded(content: dict[str, object]) -> dict[str, object]:
    """As Grafana's model has it: what the schema does not know is gone, what is wrong raises."""
    register_default_plugins()
    found: dict[str, object] = json.loads(JSONEncoder().encode(Dashboard.from_json(content)))
    return found


def test_there_are_the_four_that_the_docs_name():
    assert [path.stem for path in FILES] == ["jobs", "overview", "service", "slo"]


def test_they_are_what_the_code_builds():
    assert main(check=True) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_knows_every_field(path):
    content = json.loads(path.read_text())
    assert loaded(content) == content


def test_a_field_that_grafana_does_not_know_is_found():
    content = json.loads(FILES[0].read_text())
    content["panels"][1]["fieldConfig"]["defaults"]["colour"] = "red"
    assert loaded(content) != content


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_have_ids_of_their_own_a_title_and_a_place(path):
    content = json.loads(path.read_text())
    assert content["uid"] == f"twelvefold-{path.stem}"
    assert content["title"].startswith("Twelvefold: ")
    taken: set[tuple[int, int]] = set()
    titles, ids = set(), [panel["id"] for panel in content["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in content["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= WIDTH
        taken |= cells
        assert panel["title"]
        titles.add((panel["type"], panel["title"]))
    assert len(titles) == len(content["panels"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_query_is_promql_with_a_source_that_can_be_chosen(path):
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
