"""What canaries came to is counted by canary."""

import pytest

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.operations import canary_tally as module
from dragoman.core.operations.canary_tally import CanaryCounts, CanaryTally, Verdict


@pytest.mark.parametrize(("status", "refused"), [(200, 0), (400, 1), (422, 1), (401, 0), (429, 0), (500, 0), (0, 0)])
def test_what_is_counted(status: int, refused: int) -> None:
    tally = CanaryTally()
    tally.record("c", Verdict("", 200, TokenUsage(3, 2)), 100.0)
    tally.record("c", Verdict("no", status, TokenUsage(1, 0)), 110.0)
    assert tally.last("c", 600, 120.0) == tally.total("c") == CanaryCounts(2, 1, refused, 4, 2)
    assert tally.last("c", 600, 5000.0) == CanaryCounts()
    assert (tally.last_runs()["c"].at, tally.last_runs()["c"].verdict.difference) == (110.0, "no")
    assert tally.last("other", 600, 0.0) == tally.total("other") == CanaryCounts()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CANARIES", 2)
    tally = CanaryTally()
    for name in "abca":
        tally.record(name, Verdict(), 0.0)
    assert tally.names() == list(tally.last_runs()) == ["c", "a"]
