"""The part of a configuration that says which canaries there are."""

from typing import Final

from dragoman.core.canary_specs import COMPARING, KINDS, CanarySpec
from dragoman.core.config_nodes import Node

_KEYS: Final = ("name", "model", "kind", "dialect", "every", "timeout", "stream", "level", "expect", "prompt")
_DIALECTS: Final = ("openai_chat", "openai_responses", "claude", "gemini")
_LEVELS: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
_LEAST: Final = 10.0  # seconds; each run costs tokens


def read_canaries(node: Node) -> tuple[CanarySpec, ...]:
    """Read ``canaries``."""
    specs: dict[str, CanarySpec] = {}
    for item in node.items():
        entry = item.section()
        entry.check_keys(_KEYS, {})
        name, model = entry["name"].text() or "", entry["model"].text() or ""
        default = CanarySpec(name, model)
        kind = entry["kind"].choice(default.kind, tuple(KINDS))
        spec = CanarySpec(
            name=name,
            model=model,
            kind=kind,
            dialect=entry["dialect"].choice("", _DIALECTS),
            every=entry["every"].seconds(default.every, _LEAST),
            timeout=entry["timeout"].seconds(default.timeout, 1.0),
            stream=entry["stream"].boolean(default.stream),
            level=entry["level"].choice(default.level, _LEVELS),
            expect=entry["expect"].text() or "",
            prompt=entry["prompt"].text() or "",
        )
        if not name or not model:
            item.mistake("a canary needs a `name` and a `model`")
        elif name in specs:
            item.mistake(f"the name {name[:60]!r} is taken by an item before")
        if kind in COMPARING and entry["stream"].value is not None:
            entry["stream"].mistake(f"a canary of kind {kind!r} asks both ways, and compares: leave `stream` out")
        if kind != "thinking" and entry["level"].value is not None:
            entry["level"].mistake("`level` is for canaries of kind 'thinking'")
        specs[name] = spec
    return tuple(specs.values())
