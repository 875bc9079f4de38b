"""The whole configuration: in force and masked, and the file itself."""

import json
from pathlib import Path

import pytest

from tests.adapters.management.office import CONFIG, SECRET, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_providers_are_told_in_the_words_of_the_runbook(office: Office) -> None:
    answer = office.ask("GET", "config")
    (kiro,) = answer.json["providers"]
    assert (kiro["name"], kiro["prefix"], kiro["state"], kiro["kind"]) == (
        "kiro",
        None,
        "available",
        "openai-compatibility",
    )
    assert kiro["supported_clients"] == ["openai_chat", "openai_responses", "claude", "gemini"]
    assert kiro["models"] == [{"name": "m", "alias": "m"}]
    assert [row["name"] for row in kiro["credentials"]] == ["key-1", "key-2"]


def test_no_secret_is_in_it(office: Office) -> None:
    """Neither its own."""
    body = office.ask("GET", "config").body.decode()
    for secret in (SECRET, "5ecret-abc", "5tream"):
        assert secret not in body
    assert "remote-management" not in json.loads(body)


def test_settings_are_those_in_force(office: Office) -> None:
    told = office.ask("GET", "config").json
    assert (told["host"], told["debug"], told["routing"]) == ("127.0.0.1", False, {"strategy": "round-robin"})
    assert told["quota-exceeded"] == {"switch-project": True, "switch-preview-model": False}
    assert told["api-keys"] == ["sk-...cdef"]


def test_what_is_switched_off_or_not_spoken(tmp_path: Path) -> None:
    """A file of a type that we do not speak is a provider that serves no client, and says why."""
    office = Office(tmp_path, CONFIG.replace("  - name: kiro\n", "  - name: lab\n    disabled: true\n"))
    body = {"type": "antigravity", "access_token": "x"}
    assert office.ask("POST", "auth-files?name=antigravity-a.json", body).status == 200
    lab, antigravity = office.ask("GET", "config").json["providers"]
    assert (lab["state"], lab["supported_clients"]) == ("disabled", [])
    assert (antigravity["name"], antigravity["state"], antigravity["supported_clients"]) == (
        "antigravity",
        "unsupported",
        [],
    )
    assert "does not pretend" in antigravity["reason"]


def test_a_provider_of_which_nobody_is_well(office: Office) -> None:
    for member in office.gateway.router.pool.members.values():
        office.gateway.router.pool.switch(member.identity, on=False, now=office.now)
    assert office.ask("GET", "config").json["providers"][0]["state"] == "unavailable"


def test_without_a_file(tmp_path: Path) -> None:
    office = Office(tmp_path, None, environment={"MANAGEMENT_PASSWORD": SECRET})
    assert office.ask("GET", "config").json["providers"] == []


def test_the_file_itself(office: Office) -> None:
    """Had as it is, put back changed, not when somebody else changed it meanwhile."""
    assert office.path is not None
    answer = office.ask("GET", "config.yaml")
    assert answer.body == office.path.read_bytes()
    assert (answer.fields["content-type"], answer.fields["cache-control"]) == ("application/yaml", "no-store")
    tag = answer.fields["etag"]
    new = answer.body.replace(b"# what the operator wrote\n", b"# more\nrequest-retry: 4\n")
    put = office.ask("PUT", "config.yaml", new, if_match=tag)
    assert (put.status, put.json["ok"], put.json["changed"]) == (200, True, ["config"])
    assert office.path.read_bytes() == new
    assert office.gateway.config.request_retry == 4
    stale = office.ask("PUT", "config.yaml", answer.body, if_match=tag)
    assert (stale.status, stale.code) == (412, "changed_meanwhile")
    assert office.ask("PUT", "config.yaml", answer.body).status == 200
    assert office.path.read_bytes() == answer.body
    assert "key=config.yaml" in office.logged()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "invalid_body"),
        (b"a: [", 400, "invalid_yaml"),
        (b"\xff\xfe\x00", 400, "invalid_yaml"),
        (b"debug: perhaps\nport: -1\n", 422, "invalid_config"),
        (b"debug: true\n", 422, "invalid_config"),  # nobody may ask anything
        (b"allow-open: true\nca-file: /nowhere\n", 422, "invalid_config"),
    ],
)
def test_a_file_that_cannot_be_used_is_not_written(office: Office, content: bytes, status: int, code: str) -> None:
    assert office.path is not None
    before = office.path.read_bytes()
    answer = office.ask("PUT", "config.yaml", content)
    assert (answer.status, answer.code or answer.json["error"]["code"]) == (status, code)
    assert office.path.read_bytes() == before
    assert office.reloads == 0
