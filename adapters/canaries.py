"""Running one canary now: in this process, by what a configuration says, or through a gateway that runs."""

import signal

import attrs

from dragoman import __version__
from dragoman.adapters.asking import ask, bearer
from dragoman.adapters.chance import draw, id_maker
from dragoman.adapters.clock import Clock
from dragoman.adapters.gateway_place import Place
from dragoman.adapters.planning import Plan
from dragoman.core.canary_runs import CanaryRuns
from dragoman.core.canary_specs import CanarySpec
from dragoman.core.gateway import Gateway
from dragoman.core.operations.canaries import Seen, judge, read_answer, requests_of
from dragoman.core.operations.canary_tally import Verdict
from dragoman.transports.services import Settings


def run_here(plan: Plan, spec: CanarySpec, transport: str) -> Verdict | None:
    """Run a canary in this process; nobody listens meanwhile. None: it was interrupted.

    What a running gateway knows (cooldowns, counts) is not known here, and nothing is saved.
    """
    config = attrs.evolve(plan.config, canaries=(spec,))
    clock, verdicts = Clock(), list[Verdict]()

    def ran(_: CanarySpec, verdict: Verdict, now: float) -> None:
        verdicts.append(verdict)
        signal.raise_signal(signal.SIGTERM)  # ends `run`, in good order

    gateway = Gateway(
        config,
        version=__version__,
        transport=transport,
        now=clock.now(),
        new_id=id_maker(),
        draw=draw,
        record=lambda journal: None,
    )
    runs = CanaryRuns(gateway, clock.now(), draw=lambda: 0.0, record=ran)
    settings = Settings(now=clock.now, drain_seconds=0.0, jobs=[runs])
    if transport == "trio":
        from dragoman.transports.on_trio.server import run
    else:
        from dragoman.transports.on_asyncio.server import run
    run((), settings)
    return verdicts[0] if verdicts else None


def run_through(place: Place, spec: CanarySpec) -> Verdict:
    """Run a canary through a gateway, as its clients do: its key and the limits of that count."""
    seen: list[Seen] = []
    for request in requests_of(spec):
        answer = ask(
            place.url,
            request.path,
            headers={**dict(request.fields), **bearer(place.key)},
            method="POST",
            body=request.body,
            patience=spec.timeout,
            trust=place.trust,
        )
        if answer.fault:
            seen.append(Seen(request.streams, 0, answer.fault))
        else:
            seen.append(read_answer(spec, request.streams, answer.status, answer.headers, answer.body))
        if seen[-1].problem:
            break
    return judge(spec, seen)
