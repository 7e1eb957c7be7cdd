"""The commands of docs/guides/deploy.md name charts, files, values and commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import typer
from tests.charts.rendering import DIGEST, JWKS, PLATFORM, Release, Values, merged
from tests.charts.tree import ROOT
from tests.suite import SERVICES

from twelvefold import cli

GUIDE = (ROOT / "docs/guides/deploy.md").read_text()
_STAND_INS = {"$IMAGE": DIGEST, "jwks.json": JWKS}


def commands() -> Iterator[list[str]]:
    """Words of every command in the guide; those of a loop once for each service."""
    for block in re.findall(r"^```console\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for service in SERVICES if "$service" in line else ("",):
                text = line.replace("${service}", service).replace("$service", service)
                text = re.sub(r"^\$ |^route\(\) {|\"\$@\"; }", "", text.strip()).strip()
                if re.match(r"(helm|\.venv/bin/twelvefold) ", text):
                    yield shlex.split(text, comments=True)


def installs() -> list[list[str]]:
    return [words for words in commands() if words[:2] == ["helm", "upgrade"]]


def _assigned(words: list[str]) -> Values:
    """What --set and --set-file give, as far as the guide uses them."""
    values: Values = {}
    for option, given in pairwise(words):
        if option not in ("--set", "--set-file"):
            continue
        for pair in given.split(","):
            path, _, text = pair.partition("=")
            found: Any = _STAND_INS.get(text, text)
            if text in ("true", "false"):
                found = text == "true"
            elif text.isdecimal():
                found = int(text)
            for name in reversed(path.split(".")):
                found = {name: found}
            values = merged(values, found)
    return values


@pytest.mark.parametrize("words", installs(), ids=lambda words: " ".join(words[2:5]))
def test_an_installation_of_the_guide_renders(words: list[str]) -> None:
    name, chart = [word for word in words[2:] if not word.startswith("-")][:2]
    files = [given for option, given in pairwise(words) if option == "-f"]
    namespace = words[words.index("-n") + 1]

    assert files == [f"{chart}/values-production.yaml", "site.yaml"]
    assert namespace == (PLATFORM if name == "platform" else "twelvefold")
    values = _assigned(words)
    if chart.startswith("charts/") and name != "platform":
        assert values["image"]["digest"] == DIGEST
    assert Release(chart, name, namespace, values=values).render()


def test_the_guide_installs_everything_that_production_has() -> None:
    charts = {word for words in installs() for word in words if "/" in word and "." not in word}

    assert charts == {
        "charts/platform",
        "istio/mesh",
        *(f"{kind}/{service}" for kind in ("charts", "istio") for service in SERVICES),
    }


@cache
def _command_line() -> Any:
    cli._add_commands()
    return typer.main.get_command(cli.app)


def test_the_guides_own_commands_are_there() -> None:
    ours = [words[1:] for words in commands() if words[0].endswith("twelvefold")]
    assert len(ours) >= 4
    for words in ours:
        found = _command_line()
        for word in words:
            if not hasattr(found, "commands"):
                break
            found = found.commands[word]
        known = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, words


def test_each_setting_of_a_secret_in_the_guide_is_one_of_its_service() -> None:
    made = re.findall(r"create secret generic (\w+) \\\n(.*?)\n(?:\$|```|$)", GUIDE, re.DOTALL)
    assert {name for name, _ in made} >= set(SERVICES)
    for name, arguments in made:
        if name not in SERVICES:
            continue
        named = set(re.findall(r"--from-(?:literal|file)=(\w+)=", arguments))
        release = Release(f"charts/{name}", name, values={"image": {"digest": DIGEST}})
        (deployment,) = [one for one in release.render() if one["kind"] == "Deployment"]
        volumes = deployment["spec"]["template"]["spec"]["volumes"]
        (projected,) = [one["projected"] for one in volumes if "projected" in one]
        (source,) = [one["secret"] for one in projected["sources"]]
        assert source["name"] == name
        assert named == {item["key"] for item in source["items"]}
