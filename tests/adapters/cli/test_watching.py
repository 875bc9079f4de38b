"""``dragoman status``, ``top`` and ``doctor`` in front of a gateway whose answers are laid out."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dragoman.adapters.cli import dragoman, tables, top
from dragoman.adapters.cli.status import stranded
from dragoman.adapters.gateway_place import Place, find_place
from dragoman.adapters.running import Seen, look, management_key
from tests.small_server import Said, SmallServer, small_server

WINDOW = {
    "requests": 7, "error_ratio": 0.25, "ratio_429": 0.1, "latency_seconds": {"p50": 0.2, "p95": 3.0},
    "time_to_first_token_seconds": {"p50": None}, "tokens": {"input": 10, "output": 5},
}  # fmt: skip
PROVIDERS = {
    "lab": {
        "provider_key": "lab",
        "windows": {"10m": WINDOW},
        "credentials": {"active": 1, "cooling": 2, "rejected": 0},
    },
    "new": {"provider_key": "new"},
}
ROWS = [
    {"provider_key": "lab", "name": "key-1", "state": "cooling", "in_flight": 3, "quota_remaining": 12, "usage_percentage": 88.5,
     "quota_reset_seconds": 3725, "refresh_state": "none", "reason": "answered 429\n"},
    {"provider_key": "lab", "name": "key-2", "state": "active"},
]  # fmt: skip
ANSWERS = {
    "/health": Said(200, b'{"status": "ok", "version": "1", "transport": "trio", "uptime_seconds": 61}'),
    "/v1/metrics/providers": Said(200, json.dumps({**PROVIDERS, "providers": PROVIDERS}).encode()),
    "/v0/management/quota": Said(200, json.dumps({"credentials": ROWS}).encode()),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (
        "DRAGOMAN_URL",
        "DRAGOMAN_CONFIG",
        "DRAGOMAN_CLIENT_KEY",
        "MANAGEMENT_PASSWORD",
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DRAGOMAN_MANAGEMENT_KEY", "manage-5ecret")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dragoman, arguments)


def test_status() -> None:
    with small_server(ANSWERS) as server:
        found = run("status", "--url", server.url)
        assert server.asked[-1][2]["x-management-key"] == "manage-5ecret"
    assert found.exit_code == 0
    assert "version 1, trio, up for 1m 1s, 3 requests in flight" in found.output
    lines = found.output.splitlines()
    assert "lab\t7\t25 %\t10 %\t200 ms\t3.0 s\t-\t15\t1 active, 2 cooling" in lines
    assert "new\t0\t-\t-\t-\t-\t-\t0\t" in lines
    assert "lab\tkey-1\tcooling\t3\t12\t88.5 %\t1h 2m\tnone\tanswered 429\\n" in lines


def test_a_provider_that_nobody_can_ask() -> None:
    counts = {"active": 0, "cooling": 2}
    seen = Seen({}, "", {"down": {"credentials": counts}, "up": {"credentials": {"probing": 1}}, "new": {}})
    assert stranded(seen) == ["down"]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (Said(401), "does not take this management key"),
        (Said(404), "the gateway has no management key (remote-management)"),
        (Said(500), "the gateway answered with 500"),
        (Said(200, b"[]"), "the gateway answered with 200"),
    ],
)
def test_credentials_that_are_not_told(said: Said, what: str) -> None:
    with small_server(ANSWERS | {"/v0/management/quota": said}) as server:
        seen = look(Place(server.url), "key")
    assert seen.credentials is None
    assert seen.in_flight is None
    assert what in seen.why_no_credentials


def test_what_is_no_gateway() -> None:
    with small_server({"/health": Said(200, b"[]")}) as server:
        assert look(Place(server.url), "").fault == "what answers is not this gateway: /health gave 200"
    with small_server({"/health": ANSWERS["/health"]}) as server:
        assert look(Place(server.url), "").providers == {}


def test_where_the_management_key_is_from(folder: Path) -> None:
    config = folder / "config.yaml"
    for secret, key in (("plain", "plain"), ("$2b$10$" + "a" * 53, "")):
        config.write_text(f"host: 127.0.0.1\nallow-open: true\nremote-management: {{secret-key: '{secret}'}}\n")
        config.chmod(0o600)
        place = find_place(environment={})
        assert management_key(place, {}) == key
        assert management_key(place, {"MANAGEMENT_PASSWORD": "other"}) == "other"
    assert management_key(Place("http://x"), {}) == ""


def test_no_answer() -> None:
    for command in ("status", "top"):
        found = run(command, "--url", "http://127.0.0.1:1")
        assert (found.exit_code, found.output) == (
            2,
            "Error: no answer from the gateway at http://127.0.0.1:1: Connection refused\n",
        )
        assert run(command, "--url", "nonsense").exit_code == 2
    assert json.loads(run("status", "--json", "--url", "http://127.0.0.1:1").output)["fault"] == "Connection refused"


def test_top_in_a_pipe() -> None:
    with small_server(ANSWERS) as server:
        found = run("top", "--url", server.url, "--interval", "0.2", "--count", "2")
    assert found.exit_code == 0
    assert found.output.count("3 requests in flight") == 2


def test_tables_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich is given what is printable, and nothing else."""
    monkeypatch.setattr(tables, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with small_server(ANSWERS) as server:
        found = run("status", "--url", server.url)
    assert "Providers, last 10m" in found.output
    assert "answered 429\\n" in found.output


def test_top_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with small_server(ANSWERS) as server:
        found = run("top", "--url", server.url, "--interval", "0.2", "--count", "2")
        assert sum(path == "/health" for _, path, _ in server.asked) == 2
    assert found.exit_code == 0
    assert "Ctrl-C ends" in found.output


def test_top_while_the_gateway_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    seen: list[Seen | KeyboardInterrupt] = []

    def told(place: Place, key: str) -> Seen:
        one = seen.pop(0)
        if isinstance(one, KeyboardInterrupt):
            raise one
        return one

    for is_terminal in (True, False):
        monkeypatch.setattr(top, "is_terminal", lambda is_terminal=is_terminal: is_terminal)
        monkeypatch.setattr(top, "look", told)
        seen[:] = [Seen({"version": "1"}), Seen(fault="gone"), KeyboardInterrupt()]
        found = run("top", "--interval", "0.2", "--count", "9")
        assert found.exit_code == 0
        assert "gone" in found.output


def doctor(server: SmallServer, *arguments: str) -> Result:
    return run("doctor", "--url", server.url, *arguments)


def test_doctor(folder: Path) -> None:
    with small_server(ANSWERS | {"/p/models": Said(401)}) as server:
        config = folder / "config.yaml"
        config.write_text(
            f"host: 127.0.0.1\nallow-open: true\nauth-dir: auth\nstate-file: none\nopenai-compatibility: [{{name: lab, base-url: '{server.url}/p'}}]\n"
        )
        config.chmod(0o644)
        found = json.loads(doctor(server, "--json").output)
        levels = [(one["check"], one["level"]) for one in found["findings"]]
        assert ("permissions", "problem") in levels
        assert ("credential", "note") in levels  # as the running gateway has it: cooling
        assert ("provider", "problem") in levels
        config.chmod(0o600)
        quiet = doctor(server, "--no-network")
        assert quiet.exit_code == 0
        assert "\nok\tpermissions\tconfig.yaml\t" in quiet.output
    gone = run("doctor", "--no-network", "--json", "--url", "http://127.0.0.1:1")
    states = [one["detail"] for one in json.loads(gone.output)["findings"] if one["check"] == "credential"]
    assert states == ["active"]  # as configuration and state file have it
    config.write_text("prot: 1\n")
    broken = run("doctor")
    assert broken.exit_code == 1
    assert "problem\tconfiguration" in broken.output


def test_doctor_of_the_demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRAGOMAN_MANAGEMENT_KEY")
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with small_server(ANSWERS) as server:
        found = doctor(server)
    assert "ok\tcredential\tdemo/demo\tactive" in found.output


def test_doctor_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with small_server({"/v1/models": Said(200)}) as server:
        monkeypatch.setenv("OPENAI_API_BASE", f"{server.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-5ecret")
        assert doctor(server, "--client", "--variable", "OPENAI_API_BASE").exit_code == 0
        assert doctor(server, "--client", "--variable", "ANTHROPIC_BASE_URL").exit_code == 1
    assert run("doctor", "--client", "--url", "nonsense").exit_code == 1
