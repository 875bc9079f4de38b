"""The way of a request that the core has answered here: found in the table, let in or not, handled."""

from collections.abc import Callable, Sequence
from typing import Final

from dragoman.adapters.management.access import Access
from dragoman.adapters.management.desk import Call, Desk, Refused
from dragoman.adapters.management.routes import Route, Routes
from dragoman.core.effects import LocalAnswer, LocalRequest, Step

MANAGED = "/v0/management/"
_KEY_NEEDED: Final = LocalAnswer(
    401,
    error="A client key is needed: send it as `Authorization: Bearer <key>` or `x-api-key`.",
    code="invalid_api_key",
    fields=((b"www-authenticate", b"Bearer"),),
)


class Outside:
    """Answers what the core does not (`dragoman.core.effects.Serve`).

    Args:
        desk: What handlers work with.
        routes: The table.

    """

    def __init__(self, desk: Desk, routes: Sequence[Route]) -> None:
        self._desk = desk
        self._routes = Routes(routes)
        self._access = Access(desk.now)

    def serve(self, request: LocalRequest) -> Step:
        """Take the first step to an answer; on the loop's thread."""
        found = self._routes.find(request.path)
        routes = [*found[0].values()] if found is not None else []
        if routes and all(route.is_public for route in routes):
            return self._handle(request)
        management = self._desk.config.management
        if any(route.lets_in is not None for route in routes):
            if any(route.lets_in is not None and route.lets_in(self._desk, request) for route in routes):
                return self._handle(request)
            if not management.password and not (management.secret and management.allow_remote):
                return _KEY_NEEDED  # who asks is a stranger to whom no other key would help
        elif not request.path.startswith(MANAGED):
            return _nothing(request)
        return self._access.admit(request, management, lambda: self._handle(request))

    def _handle(self, request: LocalRequest) -> Step:
        found = self._routes.find(request.path)
        if found is None:
            return _nothing(request)
        methods, path, parts = found
        route = methods.get(request.method)
        if route is None:
            allow = ", ".join([*methods, "HEAD"] if "GET" in methods else methods)
            message = f"{request.path[:200]} does not take {request.method[:40]}; it takes {allow}."
            return LocalAnswer(405, error=message, code="method_not_allowed", fields=((b"allow", allow.encode()),))
        call = Call(request, path, parts)
        return _guarded(lambda: route.handle(self._desk, call))


def _guarded(step: Callable[[], Step]) -> Step:
    """Take a step; what a handler refuses is an answer, in whichever thread."""
    try:
        then = step()
    except Refused as refused:
        return refused.answer
    if isinstance(then, LocalAnswer):
        return then
    return lambda: _guarded(then)


def _nothing(request: LocalRequest) -> LocalAnswer:
    return LocalAnswer(404, error=f"Nothing answers at {request.path[:200]}.", code="not_found")
