"""Which names may be asked for: as the running gateway says, else as the configuration has it."""

from dragoman.adapters.asking import ask, bearer
from dragoman.adapters.chance import draw
from dragoman.adapters.clock import Clock
from dragoman.adapters.gateway_place import Place
from dragoman.core.routing.router import Router


def known_models(place: Place) -> tuple[str, ...]:
    """Names of models, in the gateway's order; none when nobody knows."""
    answer = ask(place.url, "/v1/models", headers=bearer(place.key), trust=place.trust, patience=2.0)
    found = answer.json
    if answer.status == 200 and isinstance(found, dict) and isinstance(found.get("data"), list):
        ids = [model.get("id") for model in found["data"] if isinstance(model, dict)]
        return tuple(name for name in ids if isinstance(name, str))
    if place.plan is None:
        return ()
    router = Router(place.plan.config, "dragoman", draw=draw, now=Clock().now())
    return tuple(card.id for card in router.models())
