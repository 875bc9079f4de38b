"""Alerts as management shows them."""

import json
from pathlib import Path

from dragoman.core.alert_rules import DEFAULT_RULES
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.operations.alerts import AlertState
from tests.adapters.management.office import CONFIG, NOW, Office

NOTIFIERS = "notifications: ['json://t0ken@127.0.0.1:1/hook']\n"


def test_the_rules_as_they_stand(tmp_path: Path) -> None:
    office = Office(tmp_path, CONFIG + NOTIFIERS)
    office.watch.look(NOW)
    told = office.ask("GET", "alerts").json
    assert [(one["name"], one["state"]) for one in told["alerts"]] == [
        (rule.name, "inactive") for rule in DEFAULT_RULES
    ]
    assert told["firing"] == 0
    assert told["notifications"] == [{"name": "json-1", "sent": 0, "failed": 0, "dropped": 0}]


def test_one_that_fires_comes_first(tmp_path: Path) -> None:
    office = Office(tmp_path)
    member = next(iter(office.gateway.router.pool.members.values()))
    member.standing.state, member.standing.resumes_at = CredentialState.EXHAUSTED, NOW + 50
    office.watch.look(NOW)
    told = office.ask("GET", "alerts").json
    assert told["firing"] == 1
    first = told["alerts"][0]
    assert (first["name"], first["state"], first["subject"], first["since"], first["value"]) == (
        "quota-exhausted", "firing", "kiro/key-1", NOW, 1.0,
    )  # fmt: skip
    office.watch.look(NOW + 50)
    office.watch.look(NOW + 110)
    assert office.ask("GET", "alerts").json["alerts"][0]["state"] == "resolved"
    assert office.watch.alerts.views()[0].state is AlertState.RESOLVED
    lines = [line for line in office.logged().splitlines() if "event=alert" in line]
    assert [line.split("level=")[1].split(" ")[0] for line in lines] == ["warning", "info"]
    assert 'alert=quota-exhausted subject=kiro/key-1 state=firing severity=warning detail="credential' in lines[0]


def test_a_key_is_needed(tmp_path: Path) -> None:
    office = Office(tmp_path)
    assert office.ask("GET", "alerts", key=None).status == 401
    assert "t0ken" not in json.dumps(office.ask("GET", "alerts").json)
