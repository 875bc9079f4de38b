"""The usage ledger over HTTP."""

from pathlib import Path

import pytest

from tests.adapters.management.office import Office
from tests.adapters.storage.test_usage import NOW, entry, filled


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path)
    office.desk.usage_file = tmp_path / "usage"
    return office


def test_sums(office: Office, tmp_path: Path) -> None:
    assert office.ask("GET", "usage").json["total"]["request_count"] == 0
    filled(tmp_path, [entry(NOW - 86400 * 8), entry(cost=5), entry(model="other", usage=None)])
    told = office.ask("GET", "usage?since=7d").json
    assert [(row["model"], row["request_count"], row["total_tokens"]) for row in told["usage"]] == [
        ("m", 1, 15), ("other", 1, None),
    ]  # fmt: skip
    assert told["total"]["cost"] == 5e-12
    assert told["total"]["usage_missing_count"] == 1
    told = office.ask("GET", "usage?by=&upstream_model=up-m").json
    assert (told["usage"], told["total"]["request_count"]) == ([], 2)


@pytest.mark.parametrize("query", ["by=colour", "since=soon", "colour=red", "until=x"])
def test_what_is_not_understood(office: Office, query: str) -> None:
    answer = office.ask("GET", f"usage?{query}")
    assert (answer.status, answer.code) == (400, "bad_request")


def test_no_ledger_and_a_bad_one(office: Office, tmp_path: Path) -> None:
    (tmp_path / "usage").write_bytes(b"something else " * 100)
    assert office.ask("GET", "usage").code == "ledger_unreadable"
    office.desk.usage_file = None
    assert (office.ask("GET", "usage").status, office.ask("GET", "usage").code) == (404, "no_ledger")
    assert office.ask("GET", "usage", key=None).status == 401
