"""Every alert fires for the samples that should fire it, with the right text, and for no others."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from tests.observability.alert_cases import CASES
from tests.observability.case import Case
from tests.observability.rules import CHARTS, ROOT, promtool, rule_files, rules, run

PROMTOOL = promtool()
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None,
    reason="promtool is missing: `make promtool` installs it from Debian's package",
)
RULES = {rule["alert"]: rule for chart in CHARTS for rule in rules(chart) if "alert" in rule}


def _test(case: Case, *, fires: bool) -> dict[str, Any]:
    """Return a unit test in promtool's format."""
    rule = RULES[case.alert]
    expected = []
    if fires:
        annotations = {**rule["annotations"], "description": case.text}
        labels = {**case.labels, "severity": rule["labels"]["severity"]}
        expected = [{"exp_labels": labels, "exp_annotations": annotations}]
    samples = case.fires if fires else case.quiet
    return {
        "name": f"{case.alert} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in samples.items()],
        "alert_rule_test": [
            {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
        ],
    }


@needs_promtool
@pytest.mark.parametrize("chart", CHARTS)
def test_prometheus_accepts_the_rules(chart):
    run(PROMTOOL, "check", "rules", *map(str, rule_files(chart)))


@needs_promtool
@pytest.mark.parametrize("chart", CHARTS)
def test_every_alert_fires_where_it_should_and_only_there(chart, tmp_path):
    tests = [_test(case, fires=fires) for case in CASES[chart] for fires in (True, False)]
    file = tmp_path / f"{chart}.yaml"  # JSON is YAML
    files = [str(path) for path in rule_files(chart)]
    # The objectives cover days: an evaluation for every minute would take a minute.
    interval = "5m" if chart == "api" else "1m"
    content = {"rule_files": files, "evaluation_interval": interval, "tests": tests}
    file.write_text(json.dumps(content))
    run(PROMTOOL, "test", "rules", str(file))


@needs_promtool
def test_a_rule_that_does_not_fire_fails_its_test(tmp_path):
    """Tests the test: expects an alert from samples for which it does not fire."""
    case = CASES["users"][1]
    wrong = _test(case, fires=True)
    wrong["input_series"] = _test(case, fires=False)["input_series"]
    file = tmp_path / "wrong.yaml"
    files = [str(path) for path in rule_files("users")]
    file.write_text(json.dumps({"rule_files": files, "tests": [wrong]}))
    with pytest.raises(AssertionError, match="UsersErrorRatioHigh"):
        run(PROMTOOL, "test", "rules", str(file))


@pytest.mark.parametrize("chart", CHARTS)
def test_every_alert_has_its_cases(chart):
    alerts = [rule["alert"] for rule in rules(chart) if "alert" in rule]
    assert sorted(alerts) == sorted(case.alert for case in CASES[chart])


def test_every_alert_has_a_severity_texts_and_a_section_on_the_page():
    sections = re.findall(
        r"^### (\w+)$", (ROOT / "docs/reference/alerts.md").read_text(), re.MULTILINE
    )
    assert sorted(sections) == sorted(RULES)
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert rule["annotations"]["runbook"] == f"docs/reference/alerts.md#{name.lower()}"
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
