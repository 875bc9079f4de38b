"""Who breaks a law is found out: gateways and providers that misbehave on purpose, in one way each."""

from typing import Any

import attrs
import pytest

from dragoman.adapters.simulation.provider import Said, SimulatedProvider
from dragoman.adapters.simulation.scenario import Scenario, make_scenario
from dragoman.adapters.simulation.world import Result, World
from dragoman.core.config import Config, QuotaRule
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import CloseClient, Effect, WriteClient, WriteUpstream

SEED = 5


def broken(result: Result) -> set[str]:
    """The laws that were broken."""
    assert result.broken >= len(result.violations) > 0
    return {violation.law for violation in result.violations}


def world_of(connection: type[ClientConnection], faults: dict[str, float] | None = None) -> Result:
    """What comes of a gateway that is wrong."""
    scenario = make_scenario(SEED, exchanges=150, faults=faults if faults is not None else {"cut": 0.05})
    return World(scenario, connect=connection).run()


class Inflating(SimulatedProvider):
    """It believes to have said more tokens than it has."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        on_seen = self.on_seen

        def lie(said: Said) -> None:
            said.tokens += said.is_good
            on_seen(said)

        self.on_seen = lie


def test_tokens_that_are_not_those_of_the_provider() -> None:
    scenario = make_scenario(SEED, exchanges=50, faults={})
    assert broken(World(scenario, make_provider=Inflating).run()) == {"tokens"}


class Twice(ClientConnection):
    """It answers twice."""

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        effects = super().upstream_sent(attempt, data, now)
        return effects + [
            effect for effect in effects if isinstance(effect, WriteClient) and b"HTTP/1.1 200" in effect.data
        ]


class Mute(ClientConnection):
    """It answers nothing."""

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        return [e for e in super().upstream_sent(attempt, data, now) if not isinstance(e, WriteClient)]


class Confused(ClientConnection):
    """It gives one client what is another's."""

    def upstream_sent(self, attempt: int, data: bytes, now: float) -> list[Effect]:
        return super().upstream_sent(attempt, data.replace(b"answer-0000001", b"answer-0000002"), now)


class Forgetful(ClientConnection):
    """It does not care for what it was doing for a client that leaves."""

    def client_sent(self, data: bytes, now: float) -> list[Effect]:
        return super().client_sent(data, now) if data else [CloseClient()]


class Eager(ClientConnection):
    """It asks the provider once more than it says."""

    def upstream_opened(self, attempt: int, now: float, reused: bool = False) -> list[Effect]:
        effects = super().upstream_opened(attempt, now, reused)
        return effects + [effect for effect in effects if isinstance(effect, WriteUpstream)]


class Clumsy(ClientConnection):
    """It falls."""

    def handle_timer(self, now: float) -> list[Effect]:
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("connection", "law"),
    [(Twice, "one answer"), (Mute, "one answer"), (Confused, "own answer"), (Eager, "true journal")],
)
def test_a_gateway_that_answers_wrongly(connection: type[ClientConnection], law: str) -> None:
    assert law in broken(world_of(connection))


def test_a_gateway_that_raises() -> None:
    assert "no fault of ours" in broken(world_of(Clumsy, {"silent": 0.05}))


def test_a_gateway_that_forgets_what_it_was_doing() -> None:
    assert broken(world_of(Forgetful, {"leaves": 0.1})) >= {"nothing open", "one answer"}


def gateway_of(scenario: Scenario, **other: Any) -> Result:
    """A world whose gateway has another configuration than the referee knows."""
    return World(scenario, config=attrs.evolve(scenario.config, **other)).run()


def test_a_gateway_that_forgets_what_it_was_told() -> None:
    """No failure is remembered: requests go to who should rest."""
    faults = {"limited": 0.05, "unauthorized": 0.01}
    assert broken(gateway_of(make_scenario(SEED, exchanges=300, faults=faults), disable_cooling=True)) == {"rest"}


def test_a_gateway_that_tries_too_often() -> None:
    scenario = make_scenario(SEED, exchanges=300, faults={"failed": 0.6})
    strict = attrs.evolve(scenario, config=attrs.evolve(scenario.config, request_retry=0, disable_cooling=True))
    assert "bounded" in broken(gateway_of(strict, request_retry=9))


def test_a_gateway_that_gives_up_too_early() -> None:
    scenario = make_scenario(SEED, exchanges=300, faults={"failed": 0.4})
    patient = attrs.evolve(scenario, config=attrs.evolve(scenario.config, max_retry_credentials=0))
    assert "served" in broken(gateway_of(patient, max_retry_credentials=1, request_retry=0))


def test_a_gateway_that_prefers_somebody() -> None:
    scenario = make_scenario(31, exchanges=300, faults={})
    routing = attrs.evolve(scenario.config.routing, strategy="fill-first")
    assert broken(gateway_of(scenario, routing=routing)) == {"fair"}


def counted(config: Config, quotas: tuple[QuotaRule, ...], limit: int | None) -> Config:
    """A configuration in which each credential has these allowances."""
    providers = [
        attrs.evolve(p, credentials=tuple(attrs.evolve(c, quotas=quotas, max_concurrency=limit) for c in p.credentials))
        for p in config.providers
    ]
    return attrs.evolve(config, providers=tuple(providers))


def test_a_gateway_that_does_not_count() -> None:
    """Requests, tokens and attempts under way, each over what is allowed."""
    scenario = make_scenario(SEED, exchanges=400, faults={"reset": 0.001})
    limits = (QuotaRule(20.0, "fixed", 5), QuotaRule(20.0, "sliding", 5), QuotaRule(20.0, "fixed", None, 500))
    strict = attrs.evolve(scenario, config=counted(scenario.config, limits, 1))
    loose = counted(scenario.config, (), None)
    assert {"windows", "concurrency"} <= broken(gateway_of(strict, providers=loose.providers))
