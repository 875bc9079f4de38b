"""Single settings: told as they are in force, changed in the file, in force when the answer comes."""

from pathlib import Path
from typing import Any

import pytest

from dragoman.adapters.config_file import read_source
from dragoman.adapters.management.settings import SETTINGS, Setting, put
from tests.adapters.management.office import CONFIG, SECRET, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def another(setting: Setting, before: object) -> Any:
    """Another value than `before`."""
    if "enum" in setting.schema:
        return "fill-first"
    return {"boolean": not before, "integer": 7, "string": "http://proxy.example:3128"}[setting.schema["type"]]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: ".".join(setting.path))
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_it_is_told_and_changed(office: Office, setting: Setting, method: str) -> None:
    path = setting.known_as or "/".join(setting.path)
    before = office.ask("GET", path).json[setting.name]
    new = another(setting, before)
    assert before != new
    assert office.ask(method, path, {"value": new}).json["status"] == "ok"
    assert office.ask("GET", path).json == {setting.name: new}
    assert office.reloads == 1
    assert office.path is not None
    written = office.path.read_text()
    assert "# what the operator wrote" in written
    assert "# keep it" in written
    data: Any = read_source(written.encode(), "x").data
    for key in setting.path:
        data = data[key]
    assert data == (str(new).lower() if isinstance(new, bool) else str(new))
    assert f"key={'.'.join(setting.path)}" in office.logged()
    if setting.is_removable:
        assert office.ask("DELETE", path).status == 200
        assert office.ask("GET", path).json == {setting.name: before}
    else:
        assert office.ask("DELETE", path).status == 405


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("debug", "yes"), ("debug", 1), ("debug", None), ("request-retry", True), ("request-retry", "3"), ("request-retry", 1.5),
        ("request-retry", 10**9), ("request-retry", -2), ("proxy-url", 5), ("proxy-url", "x" * 3000), ("routing/strategy", "best"),
        ("routing/strategy", 1),
    ],
)  # fmt: skip
def test_what_it_cannot_be(office: Office, path: str, value: object) -> None:
    for body in ({"value": value}, {}, [value], b"", b"{"):
        answer = office.ask("PUT", path, body)
        assert (answer.status, answer.code) == (400, "invalid_body")
    assert office.path is not None
    assert office.path.read_text().startswith(CONFIG)


def test_a_strategy_has_short_names(office: Office) -> None:
    assert office.ask("PUT", "routing/strategy", {"strategy": "FF"}).status == 200
    assert office.gateway.config.routing.strategy == "fill-first"


def test_mistakes_are_told_with_their_paths_and_nothing_is_changed(office: Office) -> None:
    answer = office.ask("PUT", "proxy-url", {"value": "not a proxy"})
    assert answer.status == 422
    assert answer.json["error"]["code"] == "invalid_config"
    assert [mistake["path"] for mistake in answer.json["mistakes"]] == ["proxy-url"]
    assert office.path is not None
    assert office.path.read_text().startswith(CONFIG)
    assert office.reloads == 0


def test_a_proxy_is_told_without_its_password(office: Office) -> None:
    assert office.ask("PUT", "proxy-url", {"value": "http://me:pa55@proxy:1"}).status == 200
    assert office.ask("GET", "proxy-url").json == {"proxy-url": "http://***@proxy:1"}


def test_what_counts_at_the_next_start_is_said(office: Office) -> None:
    assert office.ask("PUT", "debug", {"value": True}).json == {"status": "ok", "needs_restart": ["debug"]}


def test_without_a_file_there_is_nothing_to_change(tmp_path: Path) -> None:
    office = Office(tmp_path, None, environment={"MANAGEMENT_PASSWORD": SECRET})
    assert office.ask("GET", "debug").json == {"debug": False}
    for method, path, body in (
        ("PUT", "debug", {"value": True}),
        ("PUT", "config.yaml", b"debug: true"),
        ("GET", "config.yaml", b""),
    ):
        answer = office.ask(method, path, body)
        assert (answer.status, answer.code) == (409, "no_config_file")


def test_a_file_that_cannot_be_used_or_written(office: Office, tmp_path: Path) -> None:
    assert office.path is not None
    office.path.write_text("debug: [")
    assert office.ask("PUT", "debug", {"value": True}).code == "invalid_yaml"
    assert office.ask("GET", "config").code == "cannot_be_read"
    office.path.unlink()
    assert office.ask("PUT", "debug", {"value": True}).code == "cannot_be_written"
    assert office.ask("GET", "config.yaml").code == "cannot_be_read"


def test_values_are_put_in_their_places() -> None:
    data: dict[str, Any] = {"a": "x", "b": {"c": "1", "d": "2"}}
    put(data, ("b", "c"), 3)
    put(data, ("e", "f", "g"), True)
    put(data, ("a", "b"), 1)
    assert data == {"a": {"b": 1}, "b": {"c": 3, "d": "2"}, "e": {"f": {"g": True}}}
    put(data, ("e", "f", "g"), None)
    put(data, ("b", "c"), None)
    assert data == {"a": {"b": 1}, "b": {"d": "2"}}
