"""The rules of a simulated world, made from a seed: who there is, what may go wrong, and the gateway's configuration."""

import random
from collections.abc import Mapping
from typing import Final

import attrs

from dragoman.adapters.simulation.faults import FAULTS
from dragoman.adapters.simulation.wire import CLIENT_KEY, DIALECTS
from dragoman.core.config import (
    ClientKey,
    Config,
    Cooldowns,
    Credential,
    Model,
    Provider,
    QuotaRule,
    Routing,
    Timeouts,
)

MODELS: Final = ("alpha", "beta", "gamma")
STRATEGIES: Final = ("round-robin", "weighted-round-robin", "fill-first", "least-busy", "lowest-latency")
_KINDS: Final = {
    "openai_chat": "openai-compatibility",
    "openai_responses": "codex-api-key",
    "claude": "claude-api-key",
    "gemini": "gemini-api-key",
}


@attrs.frozen
class Scenario:
    """What is simulated.

    Attributes:
        seed: Of everything that is drawn.
        exchanges: How many requests clients send, but for those at the end that see whether all is well again.
        clients: How many there are.
        faults: Shares by name; what is not in it does not happen.
        config: Of the gateway.
        latency: Seconds between the gateway and its providers, one way.
        window: Bytes that a connection holds in each direction.
        connections: To one provider, at most.
        rate: Requests per credential and window that a provider takes: requests and seconds; None for any.
        streams: The share of requests for a stream.
        pause: Seconds that a client thinks, on average.

    """

    seed: int
    exchanges: int
    clients: int
    faults: Mapping[str, float]
    config: Config
    latency: float
    window: int
    connections: int
    rate: tuple[int, float] | None
    streams: float = 0.5
    pause: float = 0.5

    @property
    def is_calm(self) -> bool:
        """Whether nothing goes wrong, and nobody is counted: then each credential has its exact turn."""
        return not self.faults


def make_scenario(
    seed: int,
    *,
    exchanges: int = 10_000,
    clients: int = 20,
    providers: int = 4,
    faults: Mapping[str, float] = FAULTS,
) -> Scenario:
    """Draw a world.

    Without faults all credentials are equal, their turns are round-robin and nothing is counted, so that fairness is exact.
    """
    dice = random.Random(f"scenario {seed}")
    is_calm = not faults
    made = tuple(_provider(i, dice, is_calm=is_calm) for i in range(providers))
    config = Config(
        api_keys=(ClientKey(CLIENT_KEY, "simulated"),),
        providers=made,
        request_retry=dice.choice((0, 1, 2)),
        max_retry_credentials=dice.choice((0, 0, 0, 3)),
        max_retry_interval=dice.choice((0.0, 0.0, 3.0)),
        switch_project=dice.random() < 0.8,
        fallbacks=(("gamma", ("alpha",)),) if dice.random() < 0.5 and not is_calm else (),
        routing=Routing(strategy="round-robin" if is_calm else dice.choice(STRATEGIES), session_affinity=False),
        timeouts=Timeouts(connect=2.0, first_byte=10.0, between_pieces=5.0, exchange=60.0, upstream_idle=20.0),
        cooldowns=Cooldowns(
            unauthorized=20.0, payment_required=15.0, not_found=10.0, model_unsupported=25.0, invalid_grant=10.0,
            first_backoff=1.0, longest_backoff=15.0, challenge=5.0, transient=dice.choice((1.0, 3.0)), longest_told=20.0,
        ),
    )  # fmt: skip
    rate = None
    if faults.get("rate-limits"):
        rate = dice.choice(((50, 10.0), (150, 20.0), (400, 60.0)))
    return Scenario(
        seed=seed,
        exchanges=exchanges,
        clients=clients,
        faults=faults,
        config=config,
        latency=dice.uniform(0.001, 0.02),
        window=dice.choice((2048, 16 * 1024, 256 * 1024)),
        connections=dice.choice((2000, 2000, 4)) if not is_calm else 2000,
        rate=rate,
    )


def _provider(index: int, dice: random.Random, *, is_calm: bool) -> Provider:
    dialect = DIALECTS[index % len(DIALECTS)] if index < len(DIALECTS) else dice.choice(DIALECTS)
    name = f"p{index}"
    served = [model for model in MODELS if model == "alpha" or dice.random() < 0.6 or index == 0]
    return Provider(
        name=name,
        kind=_KINDS[dialect],
        dialect=dialect,
        base_url=f"http://{name}.test" + ("/v1" if dialect.startswith("openai") else ""),
        credentials=tuple(_credential(f"{name}-k{k}", dice, is_calm=is_calm) for k in range(dice.choice((1, 2, 3)))),
        models=tuple(Model(f"up-{model}", model) for model in served),
        priority=0 if is_calm else dice.choice((0, 0, 0, 1)),
    )


def _credential(label: str, dice: random.Random, *, is_calm: bool) -> Credential:
    if is_calm:
        return Credential(label, f"sk-{label}")
    quotas = []
    if dice.random() < 0.4:
        quotas.append(QuotaRule(dice.choice((10.0, 60.0)), dice.choice(("fixed", "sliding")), dice.choice((100, 400))))
    if dice.random() < 0.2:
        quotas.append(QuotaRule(30.0, dice.choice(("fixed", "sliding")), None, dice.choice((5000, 20_000))))
    return Credential(
        label,
        f"sk-{label}",
        weight=dice.choice((1, 2, 3)),
        max_concurrency=dice.choice((None, None, 2, 5)),
        quotas=tuple(quotas),
    )
