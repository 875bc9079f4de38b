"""The OpenAPI document is true: schemathesis asks a running gateway everything that is in it, and hears nothing that is not.

``DRAGOMAN_OPENAPI_EXAMPLES`` says how many requests are drawn for each operation.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from dragoman.adapters.management import ROUTES
from dragoman.adapters.management.openapi import document
from tests.demo_server import serve_demo
from tests.end_to_end.processes import PATIENCE, Gateway, serving

EXAMPLES = int(os.environ.get("DRAGOMAN_OPENAPI_EXAMPLES", "2"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KEY, SECRET = "sk-client-5ecret-for-openapi", "management-5ecret"
SCHEMA = schemathesis.openapi.from_dict(document(ROUTES, "0"))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway before the demo provider, which may be told to change everything of itself."""
    folder: Path = tmp_path_factory.mktemp("openapi")
    with serve_demo() as url:
        path = folder / "config.yaml"
        path.write_text(
            f"api-keys: [{KEY}]\nremote-management: {{secret-key: {SECRET}}}\nauth-dir: {folder / 'auth'}\n"
            f"proxy-url: direct\nopenai-compatibility: [{{name: demo, base-url: {url}/v1, models: [{{name: demo}}]}}]\n"
        )
        path.chmod(0o600)
        with serving(folder, "trio", secrets=(KEY, SECRET)) as gateway:
            yield gateway


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES < 10, database=None, phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_nothing_is_answered_that_is_not_in_the_document(case: "Case[Any]", asked: Gateway) -> None:
    is_managed = "management" in case.operation.tags
    key = SECRET if is_managed else KEY
    response = case.call(base_url=asked.url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE)
    case.validate_response(response, checks=CHECKS)
    assert SECRET not in response.text or case.path.endswith("/config.yaml")
