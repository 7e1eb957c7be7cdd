"""The commands of the deployment guides name charts, files, values and objects that there are.

The guides are docs/guides/deploy.md and gitops.md. Every command in them is looked at here; the
main path runs on a cluster in tests/cluster.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import typer
import yaml
from tests.charts.invariants.adoption import mounted_secrets
from tests.charts.invariants.controllers import controlled
from tests.charts.rendering import DIGEST, JWKS, PLATFORM, Release, Values, World, merged
from tests.charts.test_rendering import faults
from tests.charts.tree import ROOT
from tests.suite import SERVICES

from twelvefold import cli

GUIDE = (ROOT / "docs/guides/deploy.md").read_text()
GITOPS = (ROOT / "docs/guides/gitops.md").read_text()
VERSION = "2026.11.25-b71ae79"
_STAND_INS = {"jwks.json": JWKS}
# What else a shell runs in the guides: nothing of ours could be misnamed in it.
_OTHERS = (
    *("cp", "curl", "export", "random", "API", "DB", "REDIS", "NEW", "VERSION", "digest", "for"),
    *("make", "istioctl", "route", "done", "BOOTSTRAP_ROLE_PASSWORDS"),
)
_PROGRAM = r"(?:helm|kubectl|\.venv/bin/twelvefold)"


def lines(guide: str) -> Iterator[str]:
    """Every command of a guide as one line without its prompt; those of a loop for each service."""
    for block in re.findall(r"^ *```console\n(.*?)^ *```$", guide, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            for service in SERVICES if "$service" in line else ("",):
                text = line.replace("${service}", service).replace("$service", service)
                text = text.replace("$VERSION", VERSION)
                text = re.sub(r"^\$ |^route\(\) {|\"\$@\"; }", "", text.strip()).strip()
                yield re.sub(r"\$\(digest ([\w-]+)\)", r"digest-of-\1", text)


def commands(guide: str = GUIDE) -> Iterator[list[str]]:
    """Words of every command of Helm, kubectl and our own; of a pipe, of each part."""
    for line in lines(guide):
        for text in line.split(" | "):
            found = re.search(
                r"(?:^|PASSWORDS=\S+ )((?:helm|kubectl|\.venv/bin/twelvefold) .*)", text
            )
            if found:
                yield shlex.split(found[1], comments=True)


def installs() -> list[list[str]]:
    return [
        words for words in commands() if words[:2] in (["helm", "upgrade"], ["helm", "template"])
    ]


def _assigned(words: list[str]) -> Values:
    """What --set and --set-file give, as far as the guide uses them."""
    values: Values = {}
    for option, given in pairwise(words):
        if option not in ("--set", "--set-file"):
            continue
        for pair in given.split(","):
            path, _, text = pair.partition("=")
            found: Any = _STAND_INS.get(text, text)
            if text.startswith("digest-of-"):
                # Each service has its own image.
                assert any(word.endswith(text.removeprefix("digest-of-")) for word in words)
                found = DIGEST
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
    # A service that a team adds has its keys in its values, as the guide says.
    assert len({name for name, _ in made} & set(SERVICES)) > 1
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


_KINDS = {
    "deployment": "Deployment",
    "deploy": "Deployment",
    "job": "Job",
    "networkpolicy": "NetworkPolicy",
    "rollout": "Rollout",
}
# What a site has besides the charts' objects.
_OF_THE_SITE = {("secret", "twelvefold-gateway")}


def _there() -> set[tuple[str, str]]:
    """Objects that a command may name, by kubectl's word for their kind."""
    world = World("production")
    objects = [*world.objects, *controlled(world, "argo-rollouts")]
    found = {
        (word, one["metadata"]["name"])
        for one in objects
        for word, kind in _KINDS.items()
        if one["kind"] == kind
    }
    return found | {("secret", name) for name in mounted_secrets(objects)} | _OF_THE_SITE


def _named(words: list[str]) -> Iterator[tuple[str, str]]:
    """Objects that a command of kubectl names, as KIND/NAME or as KIND NAME."""
    words = words[: words.index("--")] if "--" in words else words
    for word, following in pairwise([*words, ""]):
        kind, _, name = word.partition("/")
        if name and kind in _KINDS:
            yield kind, name
        elif word in _KINDS and word != "rollout":
            yield word, following
        elif word in ("generic", "tls") or (
            word == "secret" and following not in ("generic", "tls")
        ):
            yield "secret", following


@pytest.mark.parametrize("guide", [GUIDE, GITOPS], ids=["deploy", "gitops"])
def test_every_object_that_a_command_names_is_one_of_the_charts(guide: str) -> None:
    there = _there()
    named = [
        (object_, words)
        for words in commands(guide)
        if words[0] == "kubectl"
        for object_ in _named(words)
    ]

    assert len(named) > 1
    assert [(found, words) for found, words in named if found not in there] == []


def test_every_line_of_the_guides_begins_with_a_command_that_is_looked_at() -> None:
    unknown = [
        line
        for guide in (GUIDE, GITOPS)
        for line in lines(guide)
        if line and not re.match(r"(helm|kubectl|\.venv/bin/twelvefold|#|--from|{|\")", line)
        if not line.startswith(_OTHERS)
    ]

    assert unknown == []


def test_the_guides_gateway_and_site_file_fit_the_gateway_api() -> None:
    blocks = [
        yaml.safe_load(block)
        for block in re.findall(r"^```yaml\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    ]
    (gateway,) = [block for block in blocks if block.get("kind") == "Gateway"]
    (site,) = [block for block in blocks if "gatewayApi" in block.get("global", {})]
    labelled = merged(gateway, {"metadata": {"labels": {}}})
    image: Values = {"image": {"digest": DIGEST}}
    routes = Release("istio/api", "api", values=site).render()
    (route,) = [one for one in routes if one["metadata"]["name"] == "api-public"]
    (parent,) = route["spec"]["parentRefs"]

    assert list(faults(labelled)) == []
    assert (parent["name"], parent["namespace"]) == (
        gateway["metadata"]["name"],
        gateway["metadata"]["namespace"],
    )
    listeners = {one["name"] for one in gateway["spec"]["listeners"]}
    assert {parent["sectionName"], site["global"]["gatewayApi"]["httpListener"]} == listeners
    assert Release("charts/api", "api", values=merged(image, site)).render()


def test_a_controller_is_switched_on_by_values_that_both_charts_have() -> None:
    upgrades = [words for words in commands(GITOPS) if words[:2] == ["helm", "upgrade"]]
    assert len(upgrades) == 2
    for words in upgrades:
        name, reference = words[2:4]
        chart = "/".join(reference.split("/")[-2:])
        values = merged(
            {"image": {"tag": "1"}} if chart.startswith("charts/") else {}, _assigned(words)
        )
        assert reference == f"oci://ghcr.io/twelvefold/{chart}"
        assert Release(chart, name, values=values).render()
