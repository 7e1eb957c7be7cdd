"""The catalogue explains every kind of problem that a client can meet."""

import re
from pathlib import Path
from typing import Any

import pytest

from twelvefold import errors
from twelvefold.http.rest.problem_types import (
    describe_problem_types,
    find_problem_type,
    problem_types,
)

ROOT = Path(__file__).parents[4]
MESH = (ROOT / "istio/mesh/templates/problems.yaml").read_text()
WIRE = "\n".join(
    path.read_text() for path in (ROOT / "libs/twelvefold/src/twelvefold/http").rglob("*.py")
)


def raised_codes():
    found = [errors.TwelvefoldError]
    for error in found:
        found.extend(error.__subclasses__())
        if error.__module__ == errors.__name__ and not issubclass(error, errors.OAuthError):
            yield error.code


@pytest.mark.parametrize("code", sorted(set(raised_codes())))
def test_every_error_of_the_suite_is_explained(code):
    found = find_problem_type(code)
    assert found is not None
    assert found.type == f"/problems/{code}"
    assert found.meaning.endswith(".")
    assert found.advice.endswith(".")


@pytest.mark.parametrize("code", sorted(set(re.findall(r'"/problems/([a-z-]+)"', MESH))))
def test_every_problem_of_the_gateway_is_explained(code):
    assert find_problem_type(code) is not None


@pytest.mark.parametrize("status", sorted(set(re.findall(r"ProtocolError\((\d{3})", WIRE))))
def test_every_refusal_of_the_server_is_explained(status):
    assert int(status) in {found.status for found in problem_types()}


def test_codes_are_unique():
    codes = [found.code for found in problem_types()]
    assert len(codes) == len(set(codes))


def test_only_problems_after_which_nothing_was_done_may_always_be_repeated():
    assert {found.code for found in problem_types() if found.repeat == "yes"} == {
        "request-in-progress",
        "too-many-requests",
        "overloaded",
    }


def test_the_document_lists_every_type_with_its_page_under_the_public_url():
    document: dict[str, Any] = {
        "components": {"schemas": {"Problem": {"properties": {"type": {}}}}}
    }
    describe_problem_types(document, "https://api.example.com/")
    listed = {entry["url"] for entry in document["x-problem-types"]}
    assert listed == {f"https://api.example.com{found.type}" for found in problem_types()}
    member = document["components"]["schemas"]["Problem"]["properties"]["type"]
    assert member["x-extensible-enum"] == [found.type for found in problem_types()]
