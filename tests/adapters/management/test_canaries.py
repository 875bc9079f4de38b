"""Canaries as management shows them."""

from pathlib import Path

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.operations.canary_tally import Verdict
from tests.adapters.management.office import CONFIG, NOW, Office


def test_what_became_of_them(tmp_path: Path) -> None:
    office = Office(
        tmp_path, CONFIG + "canaries: [{name: ping, model: m}, {name: other, model: m, kind: usage_parity}]\n"
    )
    spec = office.gateway.config.canaries[0]
    office.watch.canary_ran(spec, Verdict("", 200, TokenUsage(3, 2)), NOW - 5000)
    office.watch.canary_ran(spec, Verdict("in a stream: no", 400, TokenUsage(1, 0)), NOW - 10)
    ping, other = office.ask("GET", "canaries").json["canaries"]
    assert (ping["name"], ping["runs"], ping["failed"], ping["tokens"]) == ("ping", 2, 1, {"input": 4, "output": 2})
    assert ping["last_hour"] == {"runs": 1, "failed": 1, "refused": 1}
    assert ping["last_run"] == {"at": NOW - 10, "passed": False, "status": 400, "difference": "in a stream: no"}
    assert (other["dialect"], other["runs"], other["last_run"]) == ("openai_responses", 0, None)
    good, bad = [line for line in office.logged().splitlines() if "event=canary" in line]
    assert "level=info" in good
    assert 'level=warning event=canary canary=ping model=m kind=plain passed=false difference="in a stream: no"' in bad
