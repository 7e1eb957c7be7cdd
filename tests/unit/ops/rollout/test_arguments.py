"""How `twelvefold rollout` parses durations, shares, images and values, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from twelvefold_ops.rollout.arguments import (
    merge_values,
    parse_duration,
    parse_image,
    parse_shares,
)
from twelvefold_ops.rollout.model import RolloutRefused

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("500ms", 0.5), ("2m", 120), ("1.5h", 5400), ("7", 7)]
)
def test_a_duration_has_a_unit_or_is_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-3s", "3 weeks", "1e9"])
def test_an_invalid_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RolloutRefused, match="500ms, 30s or 2m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("5,25,50,100", (5, 25, 50, 100)), ("10%, 50%", (10, 50, 100)), ("100", (100,))],
)
def test_shares_increase_and_end_with_100_percent(text: str, steps: tuple[int, ...]) -> None:
    assert parse_shares(text) == steps


@pytest.mark.parametrize("text", ["", "five", "50,25", "0,50", "5,5", "50,120", "-5"])
def test_invalid_shares_are_refused(text: str) -> None:
    with pytest.raises(RolloutRefused):
        parse_shares(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026.11.25-abc", {"tag": "2026.11.25-abc", "digest": ""}),
        (DIGEST, {"tag": "", "digest": DIGEST}),
        ("ghcr.io/you/api:1.2", {"repository": "ghcr.io/you/api", "tag": "1.2", "digest": ""}),
        (
            f"localhost:5000/api@{DIGEST}",
            {"repository": "localhost:5000/api", "tag": "", "digest": DIGEST},
        ),
        (
            f"ghcr.io/you/api:1.2@{DIGEST}",
            {"repository": "ghcr.io/you/api", "tag": "1.2", "digest": DIGEST},
        ),
    ],
)
def test_a_version_is_a_tag_a_digest_or_a_whole_reference(text: str, found: dict[str, str]) -> None:
    assert parse_image(text) == found


@pytest.mark.parametrize(
    "text",
    ["latest", "ghcr.io/you/api:latest", "localhost:5000/api", "sha256:abc", "two words", ""],
)
def test_a_reference_without_a_version_is_refused(text: str) -> None:
    with pytest.raises(RolloutRefused):
        parse_image(text)


def test_values_are_merged_in_helms_order(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("image: {tag: file, pullPolicy: Always}\nreplicas: 2\n")

    found = merge_values(
        {"image": {"tag": "base", "repository": "r"}, "replicas": 1},
        [file],
        ["replicas=3", "resources.requests.cpu=250m", 'command=["a", "b"]', "note="],
        {"image": {"tag": "last"}},
    )

    assert found == {
        "image": {"tag": "last", "repository": "r", "pullPolicy": "Always"},
        "replicas": 3,
        "resources": {"requests": {"cpu": "250m"}},
        "command": ["a", "b"],
        "note": "",
    }


@pytest.mark.parametrize("text", ["replicas", "a..b=1", "list[0]=1", "=3"])
def test_a_set_option_that_helm_would_read_differently_is_refused(text: str) -> None:
    with pytest.raises(RolloutRefused, match="values file"):
        merge_values({}, [], [text])


@pytest.mark.parametrize("content", ["- a list\n", "{unclosed", None])
def test_a_file_without_values_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "values.yaml"
    if content is not None:
        file.write_text(content)

    with pytest.raises(RolloutRefused) as refused:
        merge_values({}, [file])

    assert str(file) in refused.value.detail
    assert "\n" not in refused.value.detail


def test_a_set_option_with_invalid_yaml_is_refused() -> None:
    with pytest.raises(RolloutRefused, match="--set"):
        merge_values({}, [], ["command=[1, 2"])
