"""Credential files over HTTP: real files in a real folder, served by a real gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.adapters.management.auth_files import list_shape
from dragoman.core.effects import LocalRequest
from tests.adapters.management.office import CONFIG, SECRET, Office

QWEN = {"type": "qwen", "access_token": "qwen-5ecret-token", "email": "a@example.com", "disabled": False}
BOUNDARY = "x-boundary-x"


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    assert office.ask("POST", "auth-files?name=Qwen-A.json", QWEN).status == 200
    return office


def listed(office: Office, query: str = "") -> Any:
    return office.ask("GET", f"auth-files{query}", accept="*/*").json


def form(*files: tuple[str, bytes]) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize(
    ("headers", "shape"),
    [
        ({"accept": "*/*", "user-agent": "curl/8"}, "list"),
        ({"accept": " */* "}, "list"),
        ({}, "object"),  # Go
        ({"accept": "application/json, text/plain, */*"}, "object"),  # axios
        ({"accept": "application/json"}, "object"),
        ({"accept": "*/*", "sec-fetch-mode": "cors"}, "object"),  # fetch() in a page
        ({"accept": "*/*", "origin": "http://panel.example"}, "object"),
        ({"accept": "text/html,*/*;q=0.8"}, "object"),
    ],
)
def test_who_gets_which_shape(office: Office, headers: dict[str, str], shape: str) -> None:
    fields = {name.encode(): value.encode() for name, value in headers.items()}
    assert list_shape(LocalRequest("GET", "/", "", fields, b"")) == shape
    answer = office.ask("GET", "auth-files", **{name.replace("-", "_"): value for name, value in headers.items()})
    entries = answer.json if shape == "list" else answer.json["files"]
    assert [entry["name"] for entry in entries] == ["qwen-a.json"]
    assert answer.fields["vary"] == "accept"


def test_the_shape_can_be_said(office: Office) -> None:
    assert isinstance(office.ask("GET", "auth-files?format=object", accept="*/*").json, dict)
    assert isinstance(office.ask("GET", "auth-files?format=list", accept="application/json").json, list)
    assert office.ask("GET", "auth-files?format=xml").status == 400


def test_what_is_said_of_a_file(office: Office) -> None:
    (entry,) = listed(office)
    assert entry["filename"] == entry["name"] == entry["id"] == "qwen-a.json"
    assert (entry["provider_key"], entry["model_id"], entry["refresh_state"]) == ("qwen", None, "none")
    assert (entry["quota_remaining"], entry["quota_reset_seconds"], entry["quota_exhausted"]) == (None, None, False)
    assert (entry["status"], entry["unavailable"], entry["state"]) == ("active", False, "active")
    assert (entry["email"], entry["source"], entry["size"]) == ("a@example.com", "file", len(json.dumps(QWEN)))
    assert entry["modtime"].endswith("Z")
    assert "5ecret" not in json.dumps(entry)
    assert "5ecret" not in office.logged()


def test_the_index_is_the_same_in_every_list(office: Office) -> None:
    """And over a restart, and whatever the file holds."""
    index = listed(office)[0]["auth_index"]
    assert index in [row["auth_index"] for row in office.ask("GET", "quota").json["credentials"]]
    assert office.ask("POST", "auth-files?name=QWEN-a.JSON", {**QWEN, "access_token": "other"}).status == 200
    again = Office(office.auth_dir.parent)
    assert [entry["auth_index"] for entry in listed(again)] == [index]
    assert [entry["name"] for entry in listed(again, f"?auth_index={index}")] == ["qwen-a.json"]
    assert listed(again, "?auth_index=0") == []
    assert [entry["name"] for entry in listed(again, "?name=QWEN-A.json")] == ["qwen-a.json"]


def test_it_is_served_when_the_answer_comes(office: Office) -> None:
    """And no more when it is removed."""
    assert office.reloads == 1
    assert "qwen" in [provider.name for provider in office.gateway.config.providers]
    assert office.ask("GET", "auth-files/models?name=qwen-a.json").json == {"models": []}  # it takes any
    assert office.ask("DELETE", "auth-files?name=qwen-a.json").json == {
        "status": "ok", "deleted": 1, "files": ["qwen-a.json"],
    }  # fmt: skip
    assert "qwen" not in [provider.name for provider in office.gateway.config.providers]
    assert office.ask("GET", "auth-files/models?name=qwen-a.json").status == 404
    assert listed(office) == []


def test_troubles_are_told(office: Office) -> None:
    """A file that serves nothing, one that is switched off, and one whose credential rests."""
    (office.auth_dir / "broken.json").write_text("{")
    assert office.ask("POST", "auth-files?name=kiro.json", {"type": "kiro", "access_token": "x"}).status == 200
    assert office.ask("POST", "auth-files?name=off.json", {**QWEN, "disabled": True}).status == 200
    index = next(entry["auth_index"] for entry in listed(office) if entry["name"] == "qwen-a.json")
    (office.auth_dir / "late.json").write_text(json.dumps(QWEN))  # not read yet
    member = office.gateway.router.pool.members[index]
    member.refresh_state = "failed"
    said = {entry["name"]: (entry["status"], entry["unavailable"], entry["refresh_state"]) for entry in listed(office)}
    assert said == {
        "broken.json": ("error", True, "none"),
        "kiro.json": ("error", True, "none"),
        "late.json": ("pending", False, "none"),
        "off.json": ("disabled", True, "none"),
        "qwen-a.json": ("active", False, "failed"),
    }


def test_a_file_is_had_as_it_is(office: Office) -> None:
    answer = office.ask("GET", "auth-files/download?name=QWEN-A.json")
    assert json.loads(answer.body) == QWEN
    assert answer.fields["content-disposition"] == 'attachment; filename="qwen-a.json"'
    assert answer.fields["cache-control"] == "no-store"
    assert office.ask("GET", "auth-files/download?name=b.json").status == 404
    assert office.ask("GET", "auth-files/download").status == 400
    for name in ("../config.yaml", "..%2fconfig.yaml", "/etc/passwd", "config.yaml"):
        assert office.ask("GET", f"auth-files/download?name={name}").status == 404


def test_several_files_in_a_form(office: Office) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    good = json.dumps(QWEN).encode()
    answer = office.ask("POST", "auth-files", form(("b.json", good), ("c.json", good)), content_type=kind)
    assert answer.json == {"status": "ok", "uploaded": 2, "files": ["b.json", "c.json"]}
    answer = office.ask("POST", "auth-files", form(("d.json", good), ("e.json", b"[]")), content_type=kind)
    assert (answer.status, answer.json["files"], answer.json["failed"][0]["name"]) == (207, ["d.json"], "e.json")
    assert [entry["name"] for entry in listed(office)] == ["b.json", "c.json", "d.json", "qwen-a.json"]
    answer = office.ask("POST", "auth-files", form(("e.json", b"[]")), content_type=kind)
    assert (answer.status, answer.code) == (422, "invalid_credential_file")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", f"multipart/form-data; boundary={BOUNDARY}"),
        (b"junk", f"multipart/form-data; boundary={BOUNDARY}"),
        (b"junk", "multipart/form-data"),
        (form(), f"multipart/form-data; boundary={BOUNDARY}"),
        (form(*[("a.json", b"{}")] * 200), f"multipart/form-data; boundary={BOUNDARY}"),
    ],
)
def test_a_form_that_cannot_be_read(office: Office, body: bytes, kind: str) -> None:
    assert office.ask("POST", "auth-files", body, content_type=kind).status == 400


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.txt", QWEN),
        ("../a.json", QWEN),
        (".a.json", QWEN),
        ("con.json", QWEN),
        ("a.json", [1]),
        ("a.json", {"type": 1}),
        ("a.json", b"not JSON sk-5ecret"),
        ("a.json", b" " * 300_000),
    ],
)
def test_what_is_no_credential_is_not_written(office: Office, name: str, body: object) -> None:
    answer = office.ask("POST", f"auth-files?name={name}", body)
    assert (answer.status, answer.code) == (422, "invalid_credential_file")
    assert "5ecret" not in answer.error
    assert [entry["name"] for entry in listed(office)] == ["qwen-a.json"]
    assert not (office.auth_dir.parent / "a.json").exists()


def test_removing(office: Office) -> None:
    for name in "bcd":
        assert office.ask("POST", f"auth-files?name={name}.json", QWEN).status == 200
    assert office.ask("DELETE", "auth-files").status == 400
    assert office.ask("DELETE", "auth-files", {}).status == 400
    assert office.ask("DELETE", "auth-files", [1]).status == 400
    assert office.ask("DELETE", "auth-files?all=maybe").status == 400
    assert office.ask("DELETE", "auth-files?name=x.json").status == 404
    answer = office.ask("DELETE", "auth-files?name=b.json&name=x.json")
    assert (answer.status, answer.json["files"], answer.json["failed"][0]["name"]) == (207, ["b.json"], "x.json")
    assert office.ask("DELETE", "auth-files", {"names": ["c.json"]}).json["deleted"] == 1
    assert office.ask("DELETE", "auth-files", {"name": "D.json"}).json["files"] == ["d.json"]
    assert office.ask("DELETE", "auth-files?all=true").json["deleted"] == 1
    assert office.ask("DELETE", "auth-files?all=true").json["deleted"] == 0
    assert "credential file removed" in office.logged()


def test_switching(office: Office) -> None:
    """By name, or by index; the credential is out of the pool's hands at once."""
    index = listed(office)[0]["auth_index"]
    assert office.ask("PATCH", "auth-files/status", {"name": "QWEN-A.json", "disabled": True}).json == {
        "status": "ok", "name": "qwen-a.json", "disabled": True,
    }  # fmt: skip
    assert listed(office)[0]["status"] == "disabled"
    assert office.ask("PATCH", "auth-files/status", {"auth_index": index, "disabled": False}).status == 200
    assert listed(office)[0]["status"] == "active"
    assert json.loads((office.auth_dir / "qwen-a.json").read_text()) == QWEN


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        ({"name": "qwen-a.json"}, 400),
        ({"name": "qwen-a.json", "disabled": "no"}, 400),
        ({"disabled": True}, 400),
        ({"name": 1, "disabled": True}, 400),
        ({"name": "qwen-a.json", "auth_index": 1, "disabled": True}, 400),
        ({"name": "x.json", "disabled": True}, 404),
        ({"auth_index": "0", "disabled": True}, 404),
    ],
)
def test_nothing_is_switched_by_mistake(office: Office, body: object, status: int) -> None:
    assert office.ask("PATCH", "auth-files/status", body).status == status


def test_fields(office: Office) -> None:
    """What a file says beside its secrets; what would make it useless is refused."""
    fields = {"prefix": "team", "priority": 5, "note": "spare"}
    assert office.ask("PATCH", "auth-files/fields", {"name": "qwen-a.json", **fields}).json == {
        "status": "ok", "name": "qwen-a.json", "fields": ["note", "prefix", "priority"],
    }  # fmt: skip
    (entry,) = listed(office)
    assert (entry["prefix"], entry["priority"], entry["note"]) == ("team", 5, "spare")
    assert office.ask("PATCH", "auth-files/fields", {"name": "qwen-a.json", "fields": {"note": None}}).status == 200
    assert json.loads((office.auth_dir / "qwen-a.json").read_text()) == {**QWEN, "prefix": "team", "priority": 5}
    answer = office.ask("PATCH", "auth-files/fields", {"name": "qwen-a.json", "priority": "high"})
    assert (answer.status, "priority" in answer.error) == (422, True)
    for body in ({"name": "qwen-a.json"}, {"name": "qwen-a.json", "access_token": "x"}, {"name": "a", "fields": [1]}):
        assert office.ask("PATCH", "auth-files/fields", body).status == 400


def test_without_a_configuration_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a folder all the same."""
    monkeypatch.setenv("HOME", str(tmp_path))
    office = Office(tmp_path, None, environment={"MANAGEMENT_PASSWORD": SECRET})
    assert office.ask("POST", "auth-files?name=a.json", QWEN).status == 200
    assert [entry["status"] for entry in listed(office)] == ["pending"]


def test_an_instant_beyond_the_calendar(office: Office) -> None:
    """A file may say anything."""
    assert office.ask("POST", "auth-files?name=b.json", {**QWEN, "expired": 10**17}).status in {200, 422}
    assert listed(office)


def test_the_model_names_are_the_clients(tmp_path: Path) -> None:
    office = Office(tmp_path, f"force-model-prefix: true\n{CONFIG}")
    assert office.ask("POST", "auth-files?name=a.json", {**QWEN, "type": "claude", "prefix": "team"}).status == 200
    models = office.ask("GET", "auth-files/models?name=a.json").json["models"]
    assert models[0]["id"].startswith("team/")
    assert models[0]["owned_by"] == "claude"
