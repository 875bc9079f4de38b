"""Quotas, in the words of the runbook."""

from pathlib import Path

import pytest

from dragoman.core.credentials.outcome import Kind, Outcome, Scope, broken
from tests.adapters.management.office import CONFIG, Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def use(office: Office, times: int, outcome: Outcome | None = None) -> None:
    """Requests of a client, each answered so."""
    for _ in range(times):
        plan = office.gateway.router.begin("m", office.gateway.config.api_keys[0], office.now)
        plan.next(office.now)
        plan.report(outcome or Outcome(Kind.OK, Scope.REQUEST, 200), office.now)


def test_two_credentials_are_told_apart(office: Office) -> None:
    use(office, 2)
    rows = office.ask("GET", "quota").json["credentials"]
    assert [(row["provider_key"], row["name"]) for row in rows] == [("kiro", "key-1"), ("kiro", "key-2")]
    for row in rows:
        for name in (row["auth_index"], row["name"]):
            assert office.ask("GET", f"kiro-quota?auth_index={name}").json == row
    first, second = rows
    assert (first["remaining_quota"], first["quota_remaining"], first["usage_percentage"]) == (3, 3, 25.0)
    assert first["quota_exhausted"] is False
    assert 0 < first["quota_reset_seconds"] <= 3600
    assert (first["refresh_state"], first["model_id"], first["state"]) == ("none", None, "active")
    assert (second["remaining_quota"], second["usage_percentage"], second["quota_exhausted"]) == (None, None, False)


def test_all_together(office: Office) -> None:
    use(office, 8)
    told = office.ask("GET", "kiro-quota").json
    assert (told["remaining_quota"], told["usage_percentage"], told["quota_exhausted"]) == (0, 100.0, False)
    assert told["provider_key"] == "kiro"
    assert [row["quota_exhausted"] for row in told["credentials"]] == [True, False]
    assert (
        office.ask("GET", f"kiro-quota?auth_index={told['credentials'][0]['auth_index']}").json["remaining_quota"] == 0
    )


@pytest.mark.parametrize("name", ["auth_index", "authIndex", "AuthIndex", "index", "auth_id", "auth-id"])
@pytest.mark.parametrize("path", ["quota", "kiro-quota"])
def test_an_unknown_index_is_nobody_elses(office: Office, path: str, name: str) -> None:
    """Not that of the first, as others do."""
    answer = office.ask("GET", f"{path}?{name}=0")
    assert (answer.status, answer.code) == (404, "unknown_credential")
    assert office.ask("GET", f"{path}?{name}=").status == 404


def test_a_file_that_serves_nothing_is_known_all_the_same(office: Office) -> None:
    """Its quota is not: null, with the reason, and nobody else's."""
    office.auth_dir.mkdir(mode=0o700, exist_ok=True)
    file = office.auth_dir / "kiro-anna.json"
    file.write_text('{"type": "kiro", "email": "anna@example.com", "access_token": "kiro-t0ken"}')
    file.chmod(0o600)
    (index,) = (row["auth_index"] for row in office.ask("GET", "auth-files").json["files"])
    told = office.ask("GET", f"kiro-quota?auth_index={index}").json
    assert (told["provider_key"], told["name"], told["state"]) == ("kiro", "kiro-anna.json", None)
    assert (told["remaining_quota"], told["usage_percentage"], told["quota_exhausted"]) == (None, None, False)
    assert "serves nothing" in told["reason"]
    together = office.ask("GET", "kiro-quota").json
    assert len(together["credentials"]) == 3
    assert (together["refresh_state"], together["model_id"]) == ("none", None)


def test_providers_are_told_apart(tmp_path: Path) -> None:
    office = Office(tmp_path, CONFIG.replace("name: kiro", "name: lab"))
    assert office.ask("GET", "kiro-quota").code == "no_credential"
    (row, _) = office.ask("GET", "quota?provider=lab").json["credentials"]
    assert office.ask("GET", "quota?provider=kiro").json == {"credentials": []}
    assert office.ask("GET", f"kiro-quota?auth_index={row['auth_index']}").status == 404
    single = Office(tmp_path, CONFIG.replace("      - api-key: sk-up5tream-two-0000\n", ""))
    assert single.ask("GET", "kiro-quota").json["name"] == "key-1"


def test_what_is_held_against_a_credential_can_be_ended(office: Office) -> None:
    """The log says who did it."""
    use(office, 2, broken(Kind.UNREACHABLE, "refused"))
    use(office, 2, Outcome(Kind.QUOTA_SPENT, Scope.CREDENTIAL, 429))
    rows = office.ask("GET", "quota").json["credentials"]
    troubled = [row for row in rows if row["state"] != "active" or row["models"]]
    assert troubled
    index = troubled[0]["auth_index"]
    answer = office.ask("POST", "reset-quota", {"auth_index": index})
    assert (answer.status, answer.json["status"], answer.json["auth_index"]) == (200, "ok", index)
    (row,) = office.ask("GET", f"quota?auth_index={index}").json["credentials"]
    assert (row["state"], row["models"]) == ("active", [])
    logged = office.logged()
    assert "quota reset" in logged
    assert "provider=kiro" in logged
    assert "5tream" not in logged


def test_what_is_counted_here_begins_anew(office: Office) -> None:
    use(office, 8)
    (row, _) = office.ask("GET", "quota").json["credentials"]
    assert row["quota_exhausted"]
    assert office.ask("POST", "reset-quota", {"auth_index": row["auth_index"]}).status == 200
    (row, _) = office.ask("GET", "quota").json["credentials"]
    assert (row["quota_exhausted"], row["remaining_quota"]) == (False, 4)


def test_one_model_can_be_cleared(office: Office) -> None:
    use(office, 1, Outcome(Kind.MODEL_UNSUPPORTED, Scope.MODEL, 404))
    (row,) = [row for row in office.ask("GET", "quota").json["credentials"] if row["models"]]
    assert row["models"][0]["model_id"] == "m"
    assert office.ask("POST", "reset-quota", {"index": row["name"], "model_id": "other"}).json["models"] == []
    assert office.ask("GET", f"quota?index={row['name']}").json["credentials"][0]["models"]
    assert office.ask("POST", "reset-quota", {"index": row["name"], "model_id": "m"}).json["models"] == ["m"]
    assert not office.ask("GET", f"quota?index={row['name']}").json["credentials"][0]["models"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        ({}, 400),
        ({"auth_index": 0}, 400),
        ({"auth_index": ""}, 400),
        ({"auth_index": "x"}, 404),
    ],
)
def test_nobody_is_cleared_by_mistake(office: Office, body: object, status: int) -> None:
    assert office.ask("POST", "reset-quota", body).status == status
