"""Who may read ``/metrics``."""

from pathlib import Path

import pytest

from tests.adapters.management.office import CONFIG, SECRET, Office

CLIENT = "sk-client-5ecret-abcdef"
REMOTE = "203.0.113.7"


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "unix"])
def test_this_machine_may(tmp_path: Path, peer: str) -> None:
    answer = Office(tmp_path).ask("GET", "/metrics", key=None, peer=peer)
    assert (answer.status, answer.fields["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'dragoman_provider_requests_total{outcome="success",provider="kiro"} 0.0' in answer.body
    assert b"5ecret" not in answer.body
    assert b"up5tream" not in answer.body


@pytest.mark.parametrize(
    ("text", "key", "status"),
    [
        (CONFIG, None, 401),
        (CONFIG, "wrong", 401),
        (CONFIG, SECRET, 401),  # managed from its own machine only
        (CONFIG, CLIENT, 200),
        (CONFIG.replace("secret-key", "allow-remote: true\n  secret-key"), SECRET, 200),
        (CONFIG.replace("secret-key", "allow-remote: true\n  secret-key"), "wrong", 401),
        (CONFIG.replace("secret-key", "allow-remote: true\n  secret-key"), None, 401),
        (CONFIG + "metrics: {open: true}\n", None, 200),
    ],
)
def test_strangers_need_a_key_unless_it_is_open(tmp_path: Path, text: str, key: str | None, status: int) -> None:
    answer = Office(tmp_path, text).ask("GET", "/metrics", key=key, peer=REMOTE)
    assert answer.status == status
    assert (answer.fields.get("www-authenticate") == "Bearer") is (status == 401)
    assert (b"dragoman_info" in answer.body) is (status == 200)


def test_it_is_only_read(tmp_path: Path) -> None:
    office = Office(tmp_path)
    answer = office.ask("POST", "/metrics", key=None)
    assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
    assert office.ask("POST", "/metrics", key=None, peer=REMOTE).status == 401


def test_openmetrics_for_who_asks(tmp_path: Path) -> None:
    answer = Office(tmp_path).ask("GET", "/metrics", key=None, accept="application/openmetrics-text;version=1.0.0")
    assert answer.fields["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.body.endswith(b"# EOF\n")
