"""Lists and mappings of the configuration, with masks in the places of secrets."""

from pathlib import Path
from typing import Any

import pytest

from dragoman.adapters.config_file import read_source
from dragoman.core.config_sections import SECTIONS
from tests.adapters.management.office import CONFIG, SECRET, Office

KEY = "sk-client-5ecret-abcdef"
MASK = "sk-...cdef"
NEW = "sk-another-client-5ecret-000"
GROQ = "gsk_5ecret_0123456789abcdef"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    text = f"groq:\n  - api-key: {GROQ}  # paid\n    priority: 3\n  - api-key: ${{GROQ_TWO}}\n{CONFIG}"
    return Office(tmp_path, text, environment={"GROQ_TWO": "from-outside"})


def data(office: Office) -> Any:
    assert office.path is not None
    return read_source(office.path.read_bytes(), "x").data


def shown(office: Office, name: str) -> Any:
    answer = office.ask("GET", name)
    assert answer.status == 200
    assert b"5ecret" not in answer.body
    assert b"5tream" not in answer.body
    return answer.json[name]


def test_client_keys(office: Office) -> None:
    """Replaced, added, changed by place, by what they are and by their masks, removed."""
    assert shown(office, "api-keys") == [MASK]
    assert office.ask("PUT", "api-keys", [MASK, NEW]).status == 200
    assert data(office)["api-keys"] == [KEY, NEW]
    assert [key.key for key in office.gateway.config.api_keys] == [KEY, NEW]
    assert office.ask("PUT", "api-keys", {"items": [NEW, MASK]}).status == 200
    assert data(office)["api-keys"] == [NEW, KEY]
    assert office.ask("PATCH", "api-keys", {"index": 0, "value": "sk-first"}).status == 200
    assert office.ask("PATCH", "api-keys", {"old": MASK, "new": {"name": "anna", "key": MASK}}).status == 200
    assert data(office)["api-keys"] == ["sk-first", {"name": "anna", "key": KEY}]
    assert office.ask("PATCH", "api-keys", {"old": "unknown", "new": "sk-added"}).status == 200
    assert office.ask("PATCH", "api-keys", {"value": "sk-added-too"}).status == 200
    assert shown(office, "api-keys") == ["***", {"name": "anna", "key": MASK}, "***", "***"]
    assert office.ask("DELETE", "api-keys?value=anna").status == 200
    assert office.ask("DELETE", "api-keys?index=0").status == 200
    assert office.ask("DELETE", "api-keys?value=sk-added").status == 200
    assert data(office)["api-keys"] == ["sk-added-too"]
    assert "5ecret" not in office.logged()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "api-keys", {}, 400, "invalid_body"),
        ("PUT", "api-keys", ["***"], 400, "unknown_mask"),
        ("PUT", "api-keys", [], 422, None),  # nobody could ask anything
        ("PUT", "api-keys", ["your-api-key"], 422, None),
        ("PUT", "api-keys", [KEY, KEY], 422, None),
        ("PATCH", "api-keys", {"index": 0}, 400, "invalid_body"),
        ("PATCH", "api-keys", {"index": 1, "value": "x"}, 404, "not_found"),
        ("PATCH", "api-keys", {"index": True, "value": "x"}, 404, "not_found"),
        ("PATCH", "api-keys", {"old": 1, "value": "x"}, 400, "invalid_body"),
        ("DELETE", "api-keys", b"", 400, "bad_request"),
        ("DELETE", "api-keys?index=x", b"", 400, "bad_request"),
        ("DELETE", "api-keys?index=7", b"", 404, "not_found"),
        ("DELETE", "api-keys?value=nobody", b"", 404, "not_found"),
        ("DELETE", "api-keys?index=0", b"", 422, None),
        ("PATCH", "groq", {"index": 0, "value": "x"}, 400, "invalid_body"),
        ("PATCH", "groq", {"match": "nobody", "value": {}}, 404, "not_found"),
        ("PATCH", "groq", {"value": {}}, 404, "not_found"),
        ("PATCH", "groq", {"index": 0, "value": {"priority": "high"}}, 422, None),
        ("PUT", "groq", [{"api-key": "x", "unknown": 1}], 422, None),
        ("PUT", "groq", [1], 422, None),
        ("DELETE", "groq?api-key=nobody", b"", 404, "not_found"),
        ("PUT", "oauth-excluded-models", [], 400, "invalid_body"),
        ("PUT", "oauth-excluded-models", {"items": 1}, 400, "invalid_body"),
        ("PATCH", "oauth-excluded-models", {"provider": "codex"}, 400, "invalid_body"),
        ("DELETE", "oauth-excluded-models", b"", 400, "bad_request"),
        ("DELETE", "oauth-excluded-models?provider=codex", b"", 404, "not_found"),
    ],
)
def test_what_is_refused_changes_nothing(
    office: Office, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    assert office.path is not None
    before = office.path.read_bytes()
    answer = office.ask(method, path, body)
    assert (answer.status, answer.code) == (status, code)
    if status == 422:
        assert answer.json["mistakes"]
        assert b"5ecret" not in answer.body
    assert office.path.read_bytes() == before


def test_keys_of_a_provider(office: Office) -> None:
    """With the index by which their quotas are asked for; what comes from the environment is told as that."""
    first, second = shown(office, "groq")
    assert (first["api-key"], first["priority"], second["api-key"]) == ("gsk...cdef", 3, "${GROQ_TWO}")
    rows = office.ask("GET", "quota?provider=groq").json["credentials"]
    assert [row["auth_index"] for row in rows] == [first["auth-index"], second["auth-index"]]
    assert office.ask("PUT", "groq", [second, {**first, "weight": 2}]).status == 200
    assert data(office)["groq"] == [
        {"api-key": "${GROQ_TWO}"}, {"api-key": GROQ, "priority": "3", "weight": "2"},
    ]  # fmt: skip
    assert (
        office.ask("PATCH", "groq", {"match": "gsk...cdef", "value": {"priority": None, "prefix": "fast"}}).status
        == 200
    )
    assert data(office)["groq"][1] == {"api-key": GROQ, "weight": "2", "prefix": "fast"}
    assert office.ask("DELETE", f"groq?api-key={GROQ}").status == 200
    assert [entry["api-key"] for entry in data(office)["groq"]] == ["${GROQ_TWO}"]
    assert office.ask("DELETE", "groq?index=0").status == 200
    assert "groq" not in data(office)
    assert shown(office, "groq") == []


def test_the_same_key_at_two_places(office: Office) -> None:
    entries = [{"api-key": GROQ}, {"api-key": GROQ, "base-url": "http://other.test/v1"}]
    assert office.ask("PUT", "groq", entries).status == 200
    assert office.ask("DELETE", f"groq?api-key={GROQ}").code == "ambiguous"
    assert office.ask("PATCH", "groq", {"match": GROQ, "value": {}}).code == "ambiguous"
    assert office.ask("DELETE", f"groq?api-key={GROQ}&base-url=http://other.test/v1").status == 200
    assert data(office)["groq"] == [{"api-key": GROQ}]


def test_openai_compatibility(office: Office) -> None:
    """By name; its keys are one level deeper."""
    (entry,) = shown(office, "openai-compatibility")
    keys = entry["api-key-entries"]
    assert [key["api-key"] for key in keys] == ["sk-...0000", "sk-...0000"]
    rows = office.ask("GET", "quota?provider=kiro").json["credentials"]
    assert [key["auth-index"] for key in keys] == [row["auth_index"] for row in rows]
    assert office.ask("PATCH", "openai-compatibility", {"name": "kiro", "value": {"prefix": "aws"}}).status == 200
    assert office.ask("PUT", "openai-compatibility", shown(office, "openai-compatibility")).status == 200
    (kept,) = data(office)["openai-compatibility"]
    assert [key["api-key"] for key in kept["api-key-entries"]] == ["sk-up5tream-one-0000", "sk-up5tream-two-0000"]
    assert kept["prefix"] == "aws"
    assert office.ask("DELETE", "openai-compatibility?name=kiro").status == 200
    assert shown(office, "openai-compatibility") == []


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_can_be_filled(office: Office, name: str) -> None:
    assert office.ask("PUT", name, [{"api-key": "sk-some-key-5ecret-0000"}]).status == 200
    (entry,) = shown(office, name)
    assert (entry["api-key"], len(entry["auth-index"])) == ("sk-...0000", 16)


def test_by_channel(office: Office) -> None:
    assert shown(office, "oauth-excluded-models") == {}
    assert office.ask("PUT", "oauth-excluded-models", {"codex": ["gpt-4*"], "qwen": ["*"]}).status == 200
    assert office.ask("PATCH", "oauth-excluded-models", {"provider": "claude", "models": ["a"]}).status == 200
    assert office.ask("PATCH", "oauth-excluded-models", {"provider": "qwen", "models": []}).status == 200
    assert shown(office, "oauth-excluded-models") == {"codex": ["gpt-4*"], "claude": ["a"]}
    assert dict(office.gateway.config.channel_exclusions)["codex"] == ("gpt-4*",)
    assert office.ask("DELETE", "oauth-excluded-models?provider=codex").status == 200
    assert office.ask("DELETE", "oauth-excluded-models?provider=claude").status == 200
    assert "oauth-excluded-models" not in data(office)
    alias = {"name": "gpt-5", "alias": "five"}
    assert office.ask("PATCH", "oauth-model-alias", {"channel": "codex", "aliases": [alias]}).status == 200
    assert shown(office, "oauth-model-alias") == {"codex": [alias]}


def test_without_a_file(tmp_path: Path) -> None:
    office = Office(tmp_path, None, environment={"MANAGEMENT_PASSWORD": SECRET})
    assert shown(office, "groq") == []
    assert shown(office, "oauth-model-alias") == {}
    assert office.ask("PUT", "groq", []).code == "no_config_file"


def test_a_section_that_is_something_else(tmp_path: Path) -> None:
    """Nothing of it breaks what is shown."""
    office = Office(tmp_path)
    assert office.path is not None
    text = office.path.read_text()
    office.path.write_text(f"{text}groq: [{{api-key: x}}, y, {{}}]\nmistral: z\n")
    assert [entry if isinstance(entry, str) else sorted(entry) for entry in office.ask("GET", "groq").json["groq"]] == [
        ["api-key"], "y", [],
    ]  # fmt: skip
    assert office.ask("GET", "mistral").json == {"mistral": "z"}
