"""Canaries on the real way, driven by hand: what they ask for goes out, what comes back is judged, and they are counted apart."""

import json
import math
from typing import Any

import attrs
import pytest

from dragoman.core import canary_runs as room
from dragoman.core.canary_runs import CanaryRuns
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.config import ClientKey, Config, Provider
from dragoman.core.effects import (
    Afterwards,
    CloseUpstream,
    ConnectFailure,
    Effect,
    FailureKind,
    OpenUpstream,
    ReleaseUpstream,
    WriteUpstream,
)
from dragoman.core.gateway import Gateway
from dragoman.core.journal import Journal
from dragoman.core.operations.canary_tally import Verdict
from tests.core.conversation import STREAM_HEAD, chunked, config, provider, reply

PLAIN = CanarySpec("ping", "acme-large", every=100.0, timeout=30.0)
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def answer(text: str = "pong") -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "a", "model": "large", "object": "chat.completion", "created": 1, "choices": [choice], "usage": USAGE}


def events(output: int = 2) -> bytes:
    def chunk(**more: Any) -> bytes:
        return (
            b"data: "
            + json.dumps({"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}).encode()
            + b"\n\n"
        )

    delta = {"index": 0, "delta": {"content": "pong"}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    usage = USAGE | {"completion_tokens": output, "total_tokens": 3 + output}
    data = chunk(choices=[delta]) + chunk(choices=[end]) + chunk(choices=[], usage=usage) + b"data: [DONE]\n\n"
    return STREAM_HEAD + chunked(data)


class Cage:
    """The canaries of a gateway and what became of them."""

    def __init__(self, *specs: CanarySpec, others: tuple[Provider, ...] = ()) -> None:
        self.journals: list[Journal] = []
        self.verdicts: list[tuple[str, Verdict]] = []
        self.config: Config = config(provider(), *others, canaries=specs)
        self.gateway = Gateway(
            self.config, version="1", transport="none", now=1000.0, new_id=lambda: "req", draw=lambda: 0.5, record=self.journals.append
        )  # fmt: skip
        self.runs = CanaryRuns(
            self.gateway, 1000.0, draw=lambda: 0.5, record=lambda spec, verdict, now: self.verdicts.append((spec.name, verdict))
        )  # fmt: skip
        self.opened: list[int] = []
        self.sent: dict[int, bytes] = {}
        self.kept: list[int] = []
        self.closed: list[int] = []

    def perform(self, effects: list[Effect]) -> "Cage":
        for effect in effects:
            match effect:
                case OpenUpstream():
                    self.opened.append(effect.attempt)
                case WriteUpstream():
                    self.sent[effect.attempt] = self.sent.get(effect.attempt, b"") + effect.data
                case ReleaseUpstream():
                    self.kept.append(effect.attempt)
                case CloseUpstream():
                    self.closed.append(effect.attempt)
                case Afterwards():
                    effect.call()
                case _:
                    raise AssertionError(effect)
        return self

    def at(self, now: float) -> "Cage":
        self.now = now
        return self.perform(self.runs.handle_timer(now))

    def open(self) -> "Cage":
        return self.perform(self.runs.upstream_opened(self.opened[-1], self.now))

    def upstream(self, data: bytes) -> "Cage":
        return self.perform(self.runs.upstream_sent(self.opened[-1], data, self.now))

    def asked(self) -> Any:
        return json.loads(self.sent[self.opened[-1]].partition(b"\r\n\r\n")[2])


def test_a_canary_goes_the_way_of_any_request_without_a_key_and_is_counted_apart() -> None:
    cage = Cage(PLAIN)
    assert cage.runs.next_deadline() == 1002.0  # a look at the configuration; the canary is due at 1030
    assert cage.at(1002.0).opened == []
    cage.at(1030.0).open().upstream(reply(answer()))
    assert cage.asked()["model"] == "large"
    assert cage.verdicts == [("ping", Verdict("", 200, cage.verdicts[0][1].usage))]
    assert cage.verdicts[0][1].usage.total == 5
    assert cage.kept == cage.opened == [1]
    (journal,) = cage.journals
    assert (journal.canary, journal.client_key, journal.status, journal.model) == ("ping", "canary", 200, "acme-large")
    assert cage.gateway.metrics.providers() == []
    assert (cage.runs.is_reading, cage.runs.served(1, None, 0.0), cage.runs.client_sent(b"", 0.0)) == (False, [], [])


def test_the_clients_limits_are_not_its_own() -> None:
    """Nor is there a key to be shown: the label says nothing to a client that has it for its name."""
    cage = Cage(PLAIN)
    assert cage.gateway.keys.check({b"authorization": b"Bearer sk-client"}, "") == ClientKey("sk-client", "alice")
    for n in range(3):
        cage.at(1030.0 + 100 * n).open().upstream(reply(answer()))
    assert [verdict.is_good for _, verdict in cage.verdicts] == [True] * 3


@pytest.mark.parametrize(("output", "difference"), [(2, ""), (4, "output_tokens: 2 without a stream, 4 in a stream; total_tokens: 5 without a stream, 7 in a stream")])  # fmt: skip
def test_usage_in_a_stream_and_without(output: int, difference: str) -> None:
    """Translated from Responses to Chat, twice; each request has a connection of its own within, and a number of its own outside."""
    cage = Cage(attrs.evolve(PLAIN, kind="usage_parity"))
    cage.at(1030.0).open().upstream(reply(answer()))
    assert cage.verdicts == []
    cage.open()
    assert cage.opened == [1, 2]
    assert cage.asked()["stream"] is True
    cage.upstream(events(output))
    assert [verdict.difference for _, verdict in cage.verdicts] == [difference]


def test_a_picture_in_the_result_of_a_tool() -> None:
    cage = Cage(attrs.evolve(PLAIN, kind="tool_result_image"))
    cage.at(1030.0).open().upstream(reply(answer()))
    assert b"image_url" in cage.sent[1]
    cage.open().upstream(events())
    assert [verdict.difference for _, verdict in cage.verdicts] == [""]


@pytest.mark.parametrize("dialect", ["openai_chat", "claude"])
def test_thinking_that_is_kept(dialect: str) -> None:
    """Where it passes as it is, and where it is translated."""
    cage = Cage(attrs.evolve(PLAIN, kind="thinking", dialect=dialect))
    cage.at(1030.0).open().upstream(reply(answer()))
    assert cage.asked()["reasoning_effort"] == "high"
    assert [verdict.difference for _, verdict in cage.verdicts] == [""]


def test_a_refusal_ends_a_run_at_once() -> None:
    """A model nobody serves: nobody is asked, and the second request is not made."""
    cage = Cage(attrs.evolve(PLAIN, model="nobody", kind="usage_parity"))
    cage.at(1030.0)
    assert cage.opened == []
    ((_, verdict),) = cage.verdicts
    assert (verdict.status, verdict.is_refused) == (404, True)
    assert verdict.difference == "without a stream: answered 404 (not_found)"


def test_a_provider_that_cannot_be_reached_is_tried_as_for_anybody() -> None:
    cage = Cage(attrs.evolve(PLAIN, model="shared"), others=(provider("other"),))
    cage.at(1030.0)
    cage.perform(cage.runs.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, "nobody"), 1030.0))
    assert cage.opened == [1, 2]
    cage.open().upstream(reply(answer()))
    assert [verdict.is_good for _, verdict in cage.verdicts] == [True]
    # what comes late is nobody's
    failure = ConnectFailure(FailureKind.REFUSED, "late")
    assert cage.runs.upstream_failed(1, failure, 1031.0) == cage.runs.upstream_sent(1, b"x", 1031.0) == []
    assert cage.runs.upstream_opened(7, 1031.0) == []


def test_one_that_takes_too_long() -> None:
    cage = Cage(PLAIN)
    cage.at(1030.0).open()
    assert cage.runs.next_deadline() == 1032.0
    cage.at(1059.0)
    assert cage.verdicts == []
    cage.at(1060.0)
    ((_, verdict),) = cage.verdicts
    assert (verdict.difference, verdict.status) == ("without a stream: no whole answer after 30 seconds", 0)
    assert cage.closed == [1]
    assert cage.journals[0].status == 499
    assert cage.at(1100.0).opened == [1]
    assert cage.at(1130.0).opened == [1, 2]  # and again in its time


def test_the_gateways_own_deadlines_count() -> None:
    """An attempt that does not come to stand is given up by the exchange."""
    cage = Cage(PLAIN)
    cage.at(1030.0)
    cage.at(1040.0)
    ((_, verdict),) = cage.verdicts
    assert verdict.status == 504


def test_a_run_that_is_still_under_way_is_not_begun_again() -> None:
    cage = Cage(attrs.evolve(PLAIN, every=10.0, timeout=300.0))
    cage.at(1005.0).open()
    assert cage.at(1016.0).opened == [1]


def test_a_stream_that_breaks_off() -> None:
    cage = Cage(attrs.evolve(PLAIN, stream=True))
    cage.at(1030.0).open().upstream(
        STREAM_HEAD + chunked(b'data: {"choices":[{"delta":{"content":"po"}}]}\n\n', end=False)
    )
    cage.upstream(b"")
    ((_, verdict),) = cage.verdicts
    assert verdict.difference.startswith("in a stream: the answer failed")


def test_an_answer_that_is_cut_or_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large answer passes before it is whole, so its end may be missing."""
    cage = Cage(PLAIN)
    large = reply(answer("x" * 9_000_000))
    cage.at(1030.0).open().upstream(large[:-1000])
    assert [verdict.difference for _, verdict in cage.verdicts] == ["without a stream: the answer is too long"]
    assert cage.closed == [1]
    assert next(iter(cage.gateway.router.pool.members.values())).in_flight == 0
    monkeypatch.setattr(room, "_LIMIT", 10**9)
    cage = Cage(PLAIN)
    cage.at(1030.0).open().upstream(large[:-1000])
    cage.upstream(b"")
    assert [verdict.difference for _, verdict in cage.verdicts] == ["without a stream: the answer was cut"]


def test_another_configuration() -> None:
    cage = Cage()
    assert cage.runs.next_deadline() == 1002.0
    cage.gateway.reload(attrs.evolve(cage.config, canaries=(PLAIN,)), 1001.0)
    cage.at(1002.0)
    assert cage.at(1032.0).opened == [1]
    cage.open().upstream(reply(answer()))
    assert len(cage.verdicts) == 1


@pytest.mark.parametrize("end", ["drain", "abort"])
def test_the_end(end: str) -> None:
    cage = Cage(PLAIN)
    cage.at(1030.0)
    cage.perform(getattr(cage.runs, end)(1031.0))
    assert (cage.closed, cage.verdicts, cage.runs.next_deadline()) == ([1], [], math.inf)
    assert cage.runs.upstream_sent(1, b"late", 1032.0) == []
