"""The running edge against its own OpenAPI document, by generated requests, good and bad.

pytest tests/contract --cases 1000      # more of them, by hand
"""

from __future__ import annotations

import os
import uuid
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from tests.running_suite import ROOT, Suite

PROBLEM = "application/problem+json"
CASES = int(
    os.environ.get("CONTRACT_CASES", "15")
)  # per operation and run; the seed is fixed, so that a failure is one for everybody


@pytest.fixture
def credentials(suite: Suite) -> dict[str, str]:
    """An account for one operation alone: some of them end it."""
    address = f"contract.{uuid.uuid4().hex}@example.com"
    password = uuid.uuid4().hex
    with httpx.Client(base_url=suite.url, timeout=30) as http:
        made = http.post(
            "/api/v1/users", json={"email": address, "name": "C", "password": password}
        )
        assert made.status_code == 201, made.text
        token = http.post(
            "/api/v1/auth/token",
            data={"grant_type": "password", "username": address, "password": password},
        )
        assert token.status_code == 200, token.text
    return {"Authorization": f"Bearer {token.json()['access_token']}"}


# The committed document: `make check` holds it against the code, and the tests are one for each
# operation, known before anything runs.
schema = schemathesis.openapi.from_path(
    ROOT / "docs/api/api.json",
    config=SchemathesisConfig.from_dict(
        {
            "checks": {
                # What a schema cannot say: a token or a cursor that we did not issue, a version
                # that has passed, a printable name, an address that is taken.
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "307", "400", "403", "404", "409", "412", "422"]
                }
            }
        }
    ),
)
generated = settings(
    max_examples=CASES,
    deadline=None,  # nothing here is asserted by the clock
    derandomize=True,
    phases=[Phase.generate],
    # One account for all cases of an operation is what is meant.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@schema.parametrize()
@generated
def test_every_answer_is_one_that_the_document_promises(case: Case[Any], suite, credentials):
    response = case.call_and_validate(base_url=suite.url, headers=credentials, timeout=30)
    if response.status_code >= 400 and not case.path.endswith(("/auth/token", "/auth/revoke")):
        assert response.headers["content-type"] == [PROBLEM]


@schema.parametrize()
@generated
def test_without_a_token_nothing_but_the_open_operations_answers(case: Case[Any], suite):
    open_to_anyone = case.operation.definition.resolved.get("security") in ([], None)
    response = case.call(base_url=suite.url, timeout=30)
    assert response.status_code < 500
    if not open_to_anyone:
        assert response.status_code in (401, 404, 405, 413, 415), response.text
