"""Whole gateways under random histories: Hypothesis says who asks, what goes wrong and when; the laws are those of every simulation."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from dragoman.adapters.simulation.faults import ANSWER_FAULTS
from dragoman.adapters.simulation.provider import SimulatedProvider
from dragoman.adapters.simulation.scenario import MODELS, make_scenario
from dragoman.adapters.simulation.world import World

CLIENTS = 4
#: Nothing goes wrong by itself, but the world is one in which things do: credentials have priorities and allowances.
QUIET = {"cut": 0.0}


class Scripted(SimulatedProvider):
    """A provider whose faults are said beforehand; in the order of its requests."""

    script: list[str]

    def draw_fault(self) -> str:
        """The next of the script."""
        return self.script.pop(0) if self.script and not self.is_well else ""


class GatewayLaws(RuleBasedStateMachine):
    """One gateway, four clients, four providers."""

    world: World

    @initialize(seed=st.integers(0, 200))
    def begin(self, seed: int) -> None:
        self.script: list[str] = []

        def make(*arguments: Any) -> Scripted:
            provider = Scripted(*arguments)
            provider.script = self.script
            return provider

        scenario = make_scenario(seed, exchanges=0, clients=CLIENTS, faults=QUIET)
        self.world = World(scenario, make_provider=make)

    @rule(
        who=st.integers(0, CLIENTS - 1),
        model=st.sampled_from(MODELS),
        stream=st.booleans(),
        faults=st.lists(st.sampled_from(["", *ANSWER_FAULTS]), max_size=4),
    )
    def ask(self, who: int, model: str, stream: bool, faults: list[str]) -> None:
        client = self.world.clients[who]
        self.script += faults
        if not client.is_waiting:
            self.world.numbers.limit += 1
            client.ask_for(model, stream=stream)

    @rule(who=st.integers(0, CLIENTS - 1))
    def leave(self, who: int) -> None:
        if self.world.clients[who].is_waiting:
            self.world.clients[who].leave()

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.5, 1.0, 3.0, 21.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.network.run_until(self.world.network.now + seconds)

    @rule(which=st.integers(0, 3), seconds=st.sampled_from([0.1, 5.0, 30.0]))
    def outage(self, which: int, seconds: float) -> None:
        self.world.outage(list(self.world.providers)[which], seconds)

    @rule(which=st.integers(0, 30), on=st.booleans())
    def switch(self, which: int, on: bool) -> None:
        labels = [c.label for provider in self.world.scenario.config.providers for c in provider.credentials]
        self.world.switch(labels[which % len(labels)], on=on)

    def teardown(self) -> None:
        """LAW: whatever happened, all laws of `dragoman.adapters.simulation.laws` were kept."""
        if hasattr(self, "world"):
            self.world.network.run_until(self.world.network.now + 100.0)
            assert self.world.finish().violations == ()


TestGatewayLaws = GatewayLaws.TestCase
TestGatewayLaws.settings = settings(stateful_step_count=30, deadline=None)
