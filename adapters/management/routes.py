"""What a route is, in a table: how it is found, who answers, and what the OpenAPI document says of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from dragoman.adapters.management.desk import Call, Desk
from dragoman.core.effects import LocalRequest, Step

Schema = Mapping[str, Any]
Handler = Callable[[Desk, Call], Step]

OK: Final[Schema] = {
    "type": "object",
    "properties": {"status": {"const": "ok"}},
    "required": ["status"],
}
OBJECT: Final[Schema] = {"type": "object"}
TEXT: Final[Schema] = {"type": "string"}


@attrs.frozen
class Parameter:
    """A parameter of a query."""

    name: str
    description: str
    schema: Schema = attrs.field(factory=lambda: TEXT)
    required: bool = False


@attrs.frozen
class Reply:
    """An answer: what it means, and its schema by media type."""

    description: str
    content: Mapping[str, Schema] = attrs.field(factory=dict)


def reply(schema: Schema = OBJECT, description: str = "Done.") -> Reply:
    """An answer in JSON."""
    return Reply(description, {"application/json": schema})


@attrs.frozen
class Route:
    """A method of a path.

    Attributes:
        method: ``GET`` stands for HEAD too.
        path: With ``{names}`` for parts that are not the same each time.
        handle: Takes the first step to the answer, on the loop's thread.
        summary: In a line.
        answers: By status, but for those that every route has.
        parameters: Of the query.
        body: Schemas by media type; empty when there is none.
        needs_body: Whether it has to be there.
        is_public: No management key is needed.
        lets_in: Who needs no management key; None: nobody.

    """

    method: str
    path: str
    handle: Handler
    summary: str
    answers: Mapping[int, Reply] = attrs.field(factory=lambda: {200: reply()})
    parameters: Sequence[Parameter] = ()
    body: Mapping[str, Schema] = attrs.field(factory=dict)
    needs_body: bool = True
    is_public: bool = False
    lets_in: Callable[[Desk, LocalRequest], bool] | None = None


class Routes:
    """Routes by path: exact ones first, then those with names.

    >>> async_ = Route("GET", "/a/{name}", lambda desk, call: None, "")  # type: ignore[arg-type, return-value]
    >>> Routes([async_]).find("/a/b")
    ({'GET': Route(...)}, '/a/{name}', {'name': 'b'})
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._named: dict[str, dict[str, Route]] = {}
        for route in routes:
            (self._named if "{" in route.path else self._exact).setdefault(route.path, {})[route.method] = route

    def find(self, path: str) -> tuple[Mapping[str, Route], str, Mapping[str, str]] | None:
        """The methods of a path, how the table writes it, and what stands in the places of names; None when there is no such path."""
        if path in self._exact:
            return self._exact[path], path, {}
        steps = path.split("/")
        for template, methods in self._named.items():
            parts = _fits(template.split("/"), steps)
            if parts is not None:
                return methods, template, parts
        return None


def _fits(template: list[str], steps: list[str]) -> dict[str, str] | None:
    if len(template) != len(steps):
        return None
    parts: dict[str, str] = {}
    for wanted, step in zip(template, steps, strict=True):
        if wanted.startswith("{"):
            if not step:
                return None
            parts[wanted[1:-1]] = step
        elif wanted != step:
            return None
    return parts
