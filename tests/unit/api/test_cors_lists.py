"""What browsers may send and read is what the API reads and sends, in code and charts alike."""

import json
from pathlib import Path

import yaml

from twelvefold.http.middleware import cors

ROOT = Path(__file__).parents[3]
DOCUMENT = json.loads((ROOT / "docs/api/api.json").read_text())
SAFELISTED = {"cache-control", "content-language", "content-length", "content-type", "expires"}


def lower(names) -> set[str]:
    return {name.lower() for name in names}


def operations():
    for path in DOCUMENT["paths"].values():
        yield from (operation for operation in path.values() if isinstance(operation, dict))


def test_every_header_that_an_operation_takes_may_be_sent():
    taken = {
        parameter["name"]
        for operation in operations()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    assert {"idempotency-key", "if-match", "if-none-match", "last-event-id"} <= taken
    assert taken <= lower(cors.REQUEST_HEADERS)


def test_every_header_that_a_response_has_may_be_read():
    sent = {
        name
        for operation in operations()
        for response in operation["responses"].values()
        for name in response.get("headers", {})
    } | set(DOCUMENT["components"]["headers"])
    assert lower(sent) - SAFELISTED <= lower(cors.RESPONSE_HEADERS)


def test_every_method_of_an_operation_may_be_used():
    used = {method.upper() for path in DOCUMENT["paths"].values() for method in path}
    assert used <= set(cors.METHODS)


def test_the_ingress_lets_through_what_the_api_does():
    found = yaml.safe_load((ROOT / "charts/common/values.yaml").read_text())["ingress"]["cors"]
    template = (ROOT / "charts/common/templates/_ingress.tpl").read_text()
    assert tuple(found["methods"]) == cors.METHODS
    assert tuple(found["headers"]) == cors.REQUEST_HEADERS
    assert tuple(found["exposed"]) == cors.RESPONSE_HEADERS
    assert f'cors-max-age: "{cors.MAX_AGE}"' in template
