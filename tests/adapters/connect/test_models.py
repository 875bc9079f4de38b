"""Names of models: of the running gateway, else of the configuration."""

from pathlib import Path

import pytest

from dragoman.adapters.connect.models import known_models
from dragoman.adapters.gateway_place import Place, find_place
from tests.small_server import Said, small_server


def test_the_running_gateway_knows_best() -> None:
    body = b'{"data": [{"id": "a"}, {"id": "b/c"}, {"no": 1}, 3]}'
    with small_server({"/v1/models": Said(200, body)}) as server:
        assert known_models(Place(server.url, "sk-1")) == ("a", "b/c")
        assert server.asked[0][2]["authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("said", [Said(401), Said(200, b"[]"), Said(200, b'{"data": 3}')])
def test_else_the_configuration(tmp_path: Path, said: Said) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "host: 127.0.0.1\nallow-open: true\nopenai-compatibility: [{name: lab, base-url: 'http://a/v1', models: [{name: big}]}]\n"
    )
    path.chmod(0o600)
    with small_server({"/v1/models": said}) as server:
        assert known_models(find_place(url=server.url, config_path=path, environment={})) == ("big",)
        assert known_models(Place(server.url)) == ()
