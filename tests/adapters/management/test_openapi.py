"""The OpenAPI document has everything that answers, and nothing else; whether it is true is tried in tests/end_to_end/test_openapi.py."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dragoman.adapters.management import ROUTES
from dragoman.adapters.management.openapi import BODIES, document
from dragoman.adapters.management.serving import MANAGED
from dragoman.core.config_sections import SECTIONS
from dragoman.core.endpoints import ACTIONS, ENDPOINTS, LOCAL, VERSIONS, Operation, find_endpoint
from tests.adapters.management.office import SECRET, Office

DOCUMENT: Any = document(ROUTES, "1.2.3")
OPERATIONS = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]


def test_everything_that_answers_is_in_it() -> None:
    """Once."""
    expected = [(method, path) for path, methods in ENDPOINTS.items() for method in methods]
    expected += [(route.method, route.path) for route in ROUTES]
    for version in VERSIONS:
        expected.append(("GET", f"/{version}/models/{{model}}"))
        expected += [("POST", f"/{version}/models/{{model}}:{action}") for action in ACTIONS]
    assert sorted(OPERATIONS) == sorted(expected)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_everything_in_it_answers(method: str, path: str) -> None:
    """As it is said: with a key, or without; with a body, or without."""
    operation = DOCUMENT["paths"][path][method.lower()]
    endpoint = find_endpoint(method, path.replace("{model}", "m"))
    if endpoint.operation is Operation.OUTSIDE:
        assert path.startswith(MANAGED) or operation["security"] == [] or {} in operation["security"]
    else:
        assert bool(operation["security"]) is endpoint.needs_key
        needs_body = endpoint.operation not in LOCAL
        assert ("requestBody" in operation) is needs_body is ((endpoint.dialect, endpoint.operation) in BODIES)
    named = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}
    assert named == set(re.findall(r"\{(\w+)\}", path))


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_what_it_refers_to_is_there() -> None:
    text = json.dumps(DOCUMENT)
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in DOCUMENT["components"]["schemas"]
    for name in set(re.findall(r'"security": \[\{"(\w+)"', text)):
        assert name in DOCUMENT["components"]["securitySchemes"]


def test_it_is_served_to_everybody_and_holds_nothing_of_the_configuration(tmp_path: Path) -> None:
    office = Office(tmp_path)
    answer = office.ask("GET", "/openapi.json", key=None, peer="192.0.2.1")
    assert answer.fields["content-type"] == "application/json"
    assert answer.json == json.loads(json.dumps(DOCUMENT))
    assert office.ask("GET", "openapi.json", key=None).status == 401
    assert office.ask("GET", "openapi.json").json == answer.json
    for secret in (SECRET, "5ecret", "kiro-key", str(tmp_path)):
        assert secret not in answer.body.decode()
    office = Office(tmp_path, None)
    assert office.ask("GET", "/openapi.json", key=None).status == 200
    assert office.ask("GET", "openapi.json").status == 404


def test_the_reference_names_every_path() -> None:
    """By name, without what is the same for all."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "management.md").read_text(encoding="utf-8")
    for route in ROUTES:
        name = route.path.removeprefix(MANAGED)
        if name not in SECTIONS and route.path.startswith(MANAGED):
            assert re.search(rf"[` ]{re.escape(name)}[`?]", page), name
