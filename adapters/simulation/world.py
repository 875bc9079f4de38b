"""A simulated world, run from its beginning to its end: faults, recovery, rest."""

import hashlib
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from dragoman.adapters.simulation.clients import Numbers, SimulatedClient, Socket
from dragoman.adapters.simulation.laws import Violation
from dragoman.adapters.simulation.provider import Said, SimulatedProvider
from dragoman.adapters.simulation.referee import Referee
from dragoman.adapters.simulation.scenario import Scenario
from dragoman.core.config import Config, Credential
from dragoman.core.connection import ClientConnection
from dragoman.core.effects import ConnectFailure, FailureKind, Origin
from dragoman.core.gateway import Gateway
from dragoman.transports.driver import Connection
from dragoman.transports.on_memory.network import MemoryNetwork

_START: Final = 1_800_000_000.0
_SLICE: Final = 2.0  # seconds run at a time
_PATIENCE: Final = 300.0  # seconds after the last request was sent
_HEALING: Final = 200.0  # seconds until every pause of a scenario is over
_GOODBYE: Final = 100.0  # seconds until every idle connection is closed


@attrs.frozen
class Result:
    """What came of a world.

    Attributes:
        scenario: What it was.
        digest: Of every byte that anybody got, and when.
        exchanges: How many.
        attempts: How many.
        seconds: That passed in it.
        took: Seconds that it took.
        faults: How many of each.
        statuses: Of answers; 0 for clients that left.
        outcomes: Of attempts.
        tokens: That providers said were used.
        checked: How often each law was looked at.
        broken: How often one was broken.
        violations: The first of these.

    """

    scenario: Scenario
    digest: str
    exchanges: int
    attempts: int
    seconds: float
    took: float
    faults: Mapping[str, int]
    statuses: Mapping[int, int]
    outcomes: Mapping[str, int]
    tokens: int
    checked: Mapping[str, int]
    broken: int
    violations: tuple[Violation, ...]


class World:
    """A gateway, its clients and its providers.

    Attributes:
        network: What is between them.
        gateway: The one.
        referee: Who sees to its laws.
        providers: By where they are.
        clients: All of them.
        numbers: Of exchanges.

    Args:
        scenario: Its rules.
        make_provider: Makes a provider; another for one that lies.
        connect: Makes the core's side of a client's connection; another for a gateway that is wrong.
        config: The gateway's, where it is another than the one it is judged by.

    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        make_provider: Callable[..., SimulatedProvider] = SimulatedProvider,
        connect: Callable[[Gateway, float], Connection] = ClientConnection,
        config: Config | None = None,
    ) -> None:
        self._begun = time.perf_counter()
        self.scenario = scenario
        self.network = network = MemoryNetwork(
            now=_START,
            latency=scenario.latency,
            window=scenario.window,
            upstream_connections=scenario.connections,
            upstream_idle_seconds=scenario.config.timeouts.upstream_idle,
        )
        self.referee = Referee(scenario)
        self._digest = hashlib.blake2b(digest_size=16)
        self._dice = self._new_dice("world")
        self._config = config or scenario.config
        self.gateway = gateway = Gateway(
            self._config,
            version="0",
            transport="memory",
            now=_START,
            new_id=lambda: "unnamed",
            draw=self._new_dice("gateway").random,
            record=self.referee.recorded,
        )
        self.numbers = Numbers(scenario.exchanges)
        self._off: set[str] = set()
        self._to_come = 0  # faults of the world that are put down already
        self._counts: Counter[str] = Counter()
        self._seen: set[tuple[str, str]] = set()
        self.providers: dict[Origin, SimulatedProvider] = {}
        for provider in scenario.config.providers:
            origin = Origin("http", f"{provider.name}.test", 80)
            made = make_provider(
                provider.name,
                provider.dialect,
                self._new_dice(provider.name),
                scenario.faults,
                scenario.rate,
                self._saw,
                self._note,
            )
            self.providers[origin] = made
            network.serve(origin, made.connect)
        models = tuple(
            dict.fromkeys(model.alias for provider in scenario.config.providers for model in provider.models)
        )

        def dial() -> Socket:
            latency = self._dice.uniform(0.0005, 0.05)
            return network.join(Socket, lambda peer: connect(gateway, network.now), latency=latency)

        self._dial = dial
        self.clients = [self._client(f"client {n}", self.numbers, models) for n in range(scenario.clients)]

    def _new_dice(self, name: str) -> random.Random:
        return random.Random(f"{name} {self.scenario.seed}")

    def _client(
        self, name: str, numbers: Numbers, models: tuple[str, ...], *, is_calm: bool = False
    ) -> SimulatedClient:
        scenario = self.scenario
        return SimulatedClient(
            self.network,
            self._dial,
            self._new_dice(name),
            numbers,
            models,
            {} if is_calm else scenario.faults,
            self.referee,
            self._note,
            streams=scenario.streams,
            pause=scenario.pause,
        )

    def _note(self, data: bytes) -> None:
        self._digest.update(struct.pack("<d", self.network.now))
        self._digest.update(data)

    def _saw(self, said: Said) -> None:
        self.referee.seen(said)
        if said.is_good:
            self._seen.add((said.credential, said.model))

    # --- from the beginning to the end ---

    def run(self) -> Result:
        """Let it all happen."""
        for client in self.clients:
            client.think()
        for fault, happen in (("outage", self._outage), ("unreachable", self._unreachable), ("switched", self._switch)):
            if self.scenario.faults.get(fault):
                self._later(fault, happen)
        self._run_while(lambda: not all(client.is_silent for client in self.clients))
        return self.finish()

    def finish(self) -> Result:
        """Let all be well again and come to its end."""
        self._heal()
        self._recover()
        self._rest()
        referee, now = self.referee, self.network.now
        counts = self._counts.copy()
        for more in (*(client.counts for client in self.clients), *(one.counts for one in self.providers.values())):
            counts += more
        return Result(
            scenario=self.scenario,
            digest=self._digest.hexdigest(),
            exchanges=referee.closed,
            attempts=referee.attempts,
            seconds=now - _START,
            took=time.perf_counter() - self._begun,
            faults=dict(sorted(counts.items())),
            statuses=dict(sorted(referee.statuses.items())),
            outcomes=dict(sorted(referee.outcomes.items())),
            tokens=referee.tokens,
            checked={law: referee.verdicts.checked[law] for law in sorted(referee.verdicts.checked)},
            broken=referee.verdicts.broken,
            violations=tuple(referee.verdicts.violations),
        )

    def _run_while(self, goes_on: Callable[[], bool]) -> None:
        """Run until the numbers are given out, and as long after that as any exchange may take."""
        network, ends_at = self.network, None
        while goes_on():
            network.run_until(network.now + _SLICE)
            if ends_at is None and self.numbers.given >= self.numbers.limit:
                ends_at = network.now + _PATIENCE
            if ends_at is not None and network.now > ends_at:
                return

    def _heal(self) -> None:
        """Nothing goes wrong any more, and all that rests has had its rest."""
        for origin, provider in self.providers.items():
            provider.is_well = True
            self.network.serve(origin, provider.connect)
        self._reload(lambda label: False)
        self.network.run_until(self.network.now + _HEALING)
        if self.scenario.is_calm:
            self.referee.settle(self.network.now)
            self.referee.history.check_fair()

    def _recover(self) -> None:
        """Each credential is asked for each of its models: put first by its priority, with what is known of it."""
        numbers = self.numbers
        self._seen.clear()
        examiner = self._client("examiner", numbers, (), is_calm=True)
        for provider in self.scenario.config.providers:
            for credential in provider.credentials:
                self.gateway.reload(_first(self._config, credential.label), self.network.now)
                for model in provider.models:
                    numbers.limit += 1
                    examiner.ask_for(model.alias)
                    self.network.run_until(self.network.now + 20.0)
        examiner.close()
        self.referee.history.check_recovered(self._seen)

    def _rest(self) -> None:
        """Everybody goes home: nothing may be left."""
        network, referee = self.network, self.referee
        for client in self.clients:
            client.close()
        network.run_until(network.now + 5.0)
        network.drain()
        network.run_until(network.now + _GOODBYE)
        referee.end(network.now)
        referee.verdicts.checked["nothing open"] += 1
        left = {provider.name: len(provider.open) for provider in self.providers.values() if provider.open}
        pending = network.pending - self._to_come
        if left or pending:
            referee.broke("nothing open", f"connections to {left}, {pending} things to come")
        busy = [status.credential for status in self.gateway.router.pool.snapshot(network.now) if status.in_flight]
        if busy:
            referee.broke("nothing open", f"attempts are counted as under way: {busy}")
        referee.verdicts.checked["no fault of ours"] += 1
        for error in network.errors:
            referee.broke("no fault of ours", f"{type(error).__name__}: {error}")

    # --- what goes wrong with the world ---

    def _later(self, fault: str, happen: Callable[[], None]) -> None:
        def now() -> None:
            self._to_come -= 1
            if self.numbers.given < self.numbers.limit:
                self._counts[fault] += 1
                happen()
                self._later(fault, happen)

        self._to_come += 1
        self.network.after(self._dice.expovariate(self.scenario.faults[fault] / 1000), now)

    def _outage(self) -> None:
        self.outage(self._dice.choice(list(self.providers)), self._dice.uniform(0.5, 10.0))

    def outage(self, origin: Origin, seconds: float) -> None:
        """A provider dies, and comes back."""
        self.network.fail(origin, ConnectFailure(FailureKind.REFUSED, "it is down"))
        self.providers[origin].died_at = self.network.now
        self.network.cut(origin)
        self.network.after(seconds, lambda: self._serve(origin))

    def _unreachable(self) -> None:
        origin = self._dice.choice(list(self.providers))
        self.network.fail(origin, None)
        self.network.after(self._dice.uniform(0.5, 10.0), lambda: self._serve(origin))

    def _serve(self, origin: Origin) -> None:
        self.network.serve(origin, self.providers[origin].connect)

    def _switch(self) -> None:
        labels = [c.label for p in self.scenario.config.providers for c in p.credentials if c.label not in self._off]
        if len(labels) < 2:
            return
        label = self._dice.choice(labels)
        self.switch(label, on=False)
        self.network.after(self._dice.uniform(1.0, 30.0), lambda: self.switch(label, on=True))

    def switch(self, label: str, *, on: bool) -> None:
        """The operator switches a credential."""
        self._reload(lambda other: not on if other == label else other in self._off)

    def _reload(self, is_off: Callable[[str], bool]) -> None:
        """Another configuration, which has switched off other credentials."""
        config, now = self._config, self.network.now
        off = {c.label for p in config.providers for c in p.credentials if is_off(c.label)}
        self.gateway.reload(_each(config, lambda c: attrs.evolve(c, disabled=c.label in off)), now)
        for label in sorted(off ^ self._off):
            self.referee.history.switched(label, now, on=label in self._off)
        self._off = off


def _each(config: Config, change: Callable[[Credential], Credential]) -> Config:
    """A configuration with other credentials."""
    providers = (
        attrs.evolve(provider, credentials=tuple(map(change, provider.credentials))) for provider in config.providers
    )
    return attrs.evolve(config, providers=tuple(providers))


def _first(config: Config, label: str) -> Config:
    """A configuration in which one credential goes before all others, whatever the strategy."""
    return _each(config, lambda c: attrs.evolve(c, priority=100) if c.label == label else c)
