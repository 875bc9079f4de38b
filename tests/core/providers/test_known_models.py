"""Models that are known by name are known in other ways, too."""

import pytest

from dragoman.core.providers import PROVIDERS
from dragoman.core.providers.known_models import known_models
from dragoman.core.thinking import facts_of


@pytest.mark.parametrize("provider", ["claude", "anthropic", "gemini", "vertex", "codex", "openai", "xai"])
def test_they_are_those_that_thinking_knows(provider: str) -> None:
    """Once each, under their own names."""
    models = known_models(provider)
    assert models
    assert len(set(models)) == len(models)
    for model in models:
        assert model.name == model.alias
        assert facts_of(model.name).known, model.name


def test_others_are_not_guessed() -> None:
    """Who has thousands, or others every week, is asked by name."""
    known = {provider.name for provider in PROVIDERS if known_models(provider.name)}
    assert known == {"openai", "anthropic", "gemini", "xai"}
