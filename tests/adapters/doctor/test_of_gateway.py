"""Configuration, permissions, port and credentials, looked at."""

import json
from pathlib import Path

import attrs
import pytest

from dragoman import __version__
from dragoman.adapters.doctor.findings import Level
from dragoman.adapters.doctor.of_gateway import check_configuration, check_credentials, check_permissions, check_port
from dragoman.adapters.planning import Plan
from tests.small_server import Said, raw_server, small_server

TEXT = "host: 127.0.0.1\napi-keys: [sk-5ecret]\nauth-dir: {folder}/auth\nstate-file: {folder}/state\nopenai-compatibility: [{{name: a, base-url: 'http://a/v1'}}]\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(TEXT.format(folder=tmp_path))
    file.chmod(0o600)
    return file


def test_a_configuration(path: Path) -> None:
    findings, plan = check_configuration(path, {})
    assert [(f.level, f.detail) for f in findings] == [(Level.OK, "valid; providers: 1, client keys: 1")]
    assert plan is not None
    path.write_text("prot: 1\nhots: x\n")
    findings, plan = check_configuration(path, {})
    assert plan is None
    assert [f.level for f in findings] == [Level.PROBLEM] * len(findings)
    assert any("did you mean 'port'" in f.detail for f in findings)


def test_without_a_file() -> None:
    findings, plan = check_configuration(None, {})
    assert plan is not None
    assert plan.is_demo
    assert findings[0].level is Level.NOTE
    findings, _ = check_configuration(None, {"OPENAI_API_KEY": "sk-5ecret"})
    assert findings[0].detail == "no file; served from the environment: openai"


def plan_of(path: Path) -> Plan:
    _, plan = check_configuration(path, {})
    assert plan is not None
    return plan


def test_permissions(path: Path, tmp_path: Path) -> None:
    plan = plan_of(path)
    assert [f.level for f in check_permissions(path, plan)] == [Level.OK]
    folder = tmp_path / "auth"
    folder.mkdir(mode=0o755)
    (folder / "a.json").write_text("{}")
    (folder / "a.json").chmod(0o640)
    path.chmod(0o644)
    (tmp_path / "state").touch(mode=0o600)
    found = {Path(f.subject).name: f for f in check_permissions(path, plan)}
    assert {name: f.level for name, f in found.items()} == {
        "config.yaml": Level.PROBLEM,
        "auth": Level.PROBLEM,
        "a.json": Level.PROBLEM,
        "state": Level.OK,
    }
    assert found["auth"].advice == f"chmod 700 {folder}"
    assert found["a.json"].advice == f"chmod 600 {folder / 'a.json'}"


def test_a_state_file_below_a_file(path: Path, tmp_path: Path) -> None:
    plan = attrs.evolve(plan_of(path), state_file=path / "state")
    assert [f.level for f in check_permissions(path, plan)] == [Level.OK, Level.UNKNOWN]


def health(**more: object) -> Said:
    return Said(200, json.dumps({"status": "ok", "version": __version__, "uptime_seconds": 3.2} | more).encode())


@pytest.mark.parametrize(
    ("said", "level", "what"),
    [
        (health(), Level.OK, f"the gateway answers: version {__version__}, up for 3 s"),
        (health(version="9"), Level.NOTE, f"version 9, up for 3 s (this command is of version {__version__})"),
        (Said(200, b"[]"), Level.PROBLEM, "something else answers here: /health gave 200"),
        (Said(404), Level.PROBLEM, "something else answers here: /health gave 404"),
        (health(status="odd"), Level.PROBLEM, "something else answers here"),
    ],
)
def test_who_answers(said: Said, level: Level, what: str) -> None:
    with small_server({"/health": said}) as server:
        finding = check_port(server.url, None)
    assert finding.level is level
    assert what in finding.detail


def test_nobody_answers() -> None:
    assert check_port("http://127.0.0.1:1", None).level is Level.NOTE
    with raw_server(b"220 mail ready\r\n") as url:
        assert "something is there and does not answer" in check_port(url, None).detail


def test_credentials() -> None:
    row: dict[str, object] = {
        "provider_key": "p",
        "name": "k",
        "state": "active",
        "reason": None,
        "refresh_state": "none",
        "quota_reset_seconds": None,
    }
    rows = [
        row,
        row | {"state": "cooling", "reason": "answered 429", "quota_reset_seconds": 12.4},
        row | {"state": "rejected"},
        row | {"refresh_state": "failed"},
        row | {"state": "something new\n"},
    ]
    found = list(check_credentials([*rows]))
    assert [f.level for f in found] == [Level.OK, Level.NOTE, Level.PROBLEM, Level.PROBLEM, Level.OK]
    assert found[1].detail == "cooling, answered 429, more in 12 s"
    assert found[3].advice == "its token cannot be renewed: log in again"
    assert found[0].subject == "p/k"
    assert "\n" not in found[4].detail
