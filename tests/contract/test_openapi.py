"""The running edge against its own OpenAPI document, by generated requests, good and bad.

    make contract                          # as in `make test`
    make contract CONTRACT_CASES=20000     # that many cases over all operations, by hand

The seed is fixed, so that a failure is reproducible. Owns which findings count; the checks
themselves (status, media type, headers, schema, ignored authentication, wrong method) are
Schemathesis's.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from tests.running_suite import Suite

CASES = int(os.environ.get("CONTRACT_CASES", "700"))  # over all operations and both tests
DOCUMENT = Path(__file__).parents[2] / "docs/api/api.json"
STEPS = 6  # of one scenario
PROBLEM = "application/problem+json"
# RFC 6749 errors, and the plain words of the probes.
OTHER_ERRORS = {"create_token", "revoke_token", "get_health", "get_ready"}
Credentials = dict[str, str]
UPLOADS = ["create_image", "put_my_avatar"]
ENDING = "delete_me"  # ends the account that calls it
# In a scenario these may end the session of the token that is in use.
MAY_END = {ENDING, "end_my_session"}
GUESSING = ["change_password", "change_email"]  # too many wrong passwords are refused for a while
# What a schema cannot say: a token or a cursor that we did not issue, a version that has passed, a
# printable name, an address that is taken.
REFUSED_ALL_THE_SAME = ["2xx", "307", "400", "403", "404", "409", "412", "422"]

# Schemathesis's own list, and 413 for a value that exceeds the body's limit as well as its own.
REFUSED_AS_INVALID = [
    *("400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx")
]


@pytest.fixture(scope="session")
def connection() -> requests.Session:
    """Kept open: most of a case is otherwise the connecting."""
    return requests.Session()


@pytest.fixture(scope="session")
def register(suite: Suite) -> Callable[[], Credentials]:
    def newcomer() -> Credentials:
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

    return newcomer


@pytest.fixture(scope="session")
def accounts() -> list[Credentials]:
    return []


@pytest.fixture
def credentials(
    suite: Suite,
    connection: requests.Session,
    register: Callable[[], Credentials],
    accounts: list[Credentials],
) -> Credentials:
    """Of an account that still is: an operation before may have ended it or its session."""
    me = f"{suite.url}/api/v1/users/me"
    if not accounts or connection.get(me, headers=accounts[-1], timeout=30).status_code != 200:
        accounts.append(register())
    return accounts[-1]


# The committed document: `make check` holds it against the code, and the tests are one for each
# operation, known before anything runs.
schema = schemathesis.openapi.from_path(
    DOCUMENT,
    config=SchemathesisConfig.from_dict(
        {
            "checks": {
                "positive_data_acceptance": {"expected-statuses": REFUSED_ALL_THE_SAME},
                "negative_data_rejection": {"expected-statuses": REFUSED_AS_INVALID},
                # What a scenario deletes is its own account as well, so that its token ends.
                "use_after_free": {"enabled": False},
                "ensure_resource_availability": {"enabled": False},
            },
            "operations": [
                {
                    "include-operation-id": UPLOADS,
                    "checks": {
                        # Bytes are binary by the schema, and still no image.
                        "positive_data_acceptance": {
                            "expected-statuses": [*REFUSED_ALL_THE_SAME, "415"]
                        }
                    },
                },
                {
                    "include-operation-id": GUESSING,
                    "checks": {
                        "positive_data_acceptance": {
                            "expected-statuses": [*REFUSED_ALL_THE_SAME, "429"]
                        }
                    },
                },
                {
                    # Schemathesis checks each event by the schema; this is the whole stream.
                    "include-operation-id": "watch_job",
                    "checks": {"response_schema_conformance": {"enabled": False}},
                },
            ],
        }
    ),
)
OPERATIONS = sum(1 for _ in schema.get_all_operations())
_ONE_ACCOUNT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
generated = settings(
    max_examples=max(1, CASES // OPERATIONS // 2),
    deadline=None,  # nothing here is asserted by the clock
    derandomize=True,
    phases=[Phase.generate],
    # One account for all cases of an operation is what is meant.
    suppress_health_check=_ONE_ACCOUNT,
)
pytestmark = pytest.mark.timeout(max(120, CASES // 20))
SCENARIOS = max(1, CASES // 10 // STEPS)
# Few in one run: what a step finds depends on the suite's state, and where Hypothesis comes by the
# same steps again and finds something else, it calls that flaky.
AT_ONCE = 10
in_steps = settings(generated, max_examples=min(AT_ONCE, SCENARIOS), stateful_step_count=STEPS)


def named(case: Case[Any]) -> str:
    found: str = case.operation.definition.raw["operationId"]
    return found


def require_problem(case: Case[Any], response: Any) -> None:
    """Every error is a problem document that states its own status and request."""
    if response.status_code < 400 or response.request.method == "HEAD":
        return
    if named(case) in OTHER_ERRORS:
        return
    assert response.headers["content-type"] == [PROBLEM]
    problem = response.json()
    assert problem["status"] == response.status_code
    assert [problem["request_id"]] == response.headers["x-request-id"]


@schema.parametrize()
@generated
def test_every_answer_is_one_that_the_document_promises(
    case: Case[Any], suite, credentials, register, connection
):
    headers = register() if named(case) == ENDING else credentials
    response = case.call_and_validate(
        base_url=suite.url, headers=headers, session=connection, timeout=30
    )
    require_problem(case, response)


@schema.parametrize()
@generated
def test_without_a_token_nothing_but_the_open_operations_answers(
    case: Case[Any], suite, connection
):
    response = case.call(base_url=suite.url, session=connection, timeout=30)
    assert response.status_code < 500
    require_problem(case, response)
    # NUL, and a parameter given twice, are refused before the routes, for every caller.
    in_front = "NUL" in response.text or "is repeated" in response.text
    if case.operation.definition.raw.get("security") and not in_front:
        assert response.status_code in (400, 401, 404, 405, 413), response.text


def test_scenarios_that_follow_the_links_find_no_undocumented_answer(suite, register, connection):
    class Scenario(schema.as_state_machine()):  # type: ignore[misc]  # a class made at run time
        def setup(self) -> None:
            self.headers = register()

        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
            return {
                "base_url": suite.url,
                "headers": self.headers,
                "session": connection,
                "timeout": 30,
            }

        def after_call(self, response: Any, case: Case[Any]) -> None:
            super().after_call(response, case)
            require_problem(case, response)
            if named(case) in MAY_END and response.status_code < 400:
                self.headers = register()

    for number in range(-(-SCENARIOS // AT_ONCE)):
        seed(number)(Scenario).run(settings=in_steps)
