"""The admission policy counts the signatures that `make verify` counts."""

from __future__ import annotations

import re

import pytest
from tests.charts.rendering import Object, releases

SOURCE = "https://github.com/acme/back.end"
SIGN = f"{SOURCE}/.github/workflows/sign.yml@refs/heads/"


@pytest.fixture(scope="module")
def policy() -> Object:
    (platform,) = (one for one in releases("production") if one.chart == "charts/platform")
    platform.values["imagePolicy"] = {"enabled": True, "source": SOURCE}
    objects = platform.render()
    (namespace,) = (one for one in objects if one["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["policy.sigstore.dev/include"] == "true"
    (found,) = (one for one in objects if one["kind"] == "ClusterImagePolicy")
    return found


@pytest.mark.parametrize(
    ("identity", "counts"),
    [
        (SIGN + "main", True),
        (SIGN + "develop", False),
        (SIGN + "main-2", False),
        (f"{SOURCE}/.github/workflows/publish.yml@refs/heads/main", False),
        ("https://github.com/acme/backXend/.github/workflows/sign.yml@refs/heads/main", False),
    ],
)
def test_only_the_signing_workflow_of_the_repository_counts(policy, identity, counts) -> None:
    (authority,) = policy["spec"]["authorities"]
    (signer,) = authority["keyless"]["identities"]
    assert (re.search(signer["subjectRegExp"], identity) is not None) is counts


def test_a_provenance_is_required_as_well(policy) -> None:
    (authority,) = policy["spec"]["authorities"]
    assert [one["predicateType"] for one in authority["attestations"]] == ["custom"]
