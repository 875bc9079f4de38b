"""Who is to read a request: what a dialect must know of model and provider to write it."""

import attrs


@attrs.frozen
class ModelFacts:
    """What is known of a model.

    Attributes:
        known: False: nothing is, so nothing is clamped or refused on its behalf.
        max_output: Most tokens of output; None: unknown.
        min_budget: Least tokens of reasoning, for models that take a budget; None: takes no budget.
        max_budget: Most tokens of reasoning; None: takes no budget.
        may_be_off: Whether reasoning can be switched off.
        may_be_auto: Whether the model can decide how much to reason.
        levels: Levels of reasoning the model takes, low to high; empty: takes no levels.

    """

    known: bool = False
    max_output: int | None = None
    min_budget: int | None = None
    max_budget: int | None = None
    may_be_off: bool = False
    may_be_auto: bool = False
    levels: tuple[str, ...] = ()


@attrs.frozen
class Target:
    """Who is to read a request.

    Attributes:
        model: The upstream model's name, as it is written into the body; None: the request's own.
        provider: Whose signatures the reader can check; empty: those of the dialect's inventor.
        is_official: Whether the reader is the dialect's inventor (OpenAI, Anthropic, Google). Compatible servers often know only
            older words: ``max_tokens``, the role ``system``.
        reads_reasoning: Whether reasoning of earlier turns can be sent back in the open (``reasoning_content``).
        images_in_tool_results: Whether a compatible server takes images inside the result of a tool.
        facts: What is known of the model.
        project: On whose account, for dialects that say it in the body.

    """

    model: str | None = None
    provider: str = ""
    is_official: bool = True
    reads_reasoning: bool = False
    images_in_tool_results: bool = False
    facts: ModelFacts = ModelFacts()
    project: str = ""


ANYBODY = Target()
