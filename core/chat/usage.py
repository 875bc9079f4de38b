"""Token usage: one definition of what includes what.

`input` is everything the model read, `output` everything it wrote; every other count is a part of one of them. The dialects
count differently, and each does its arithmetic on the way in and out:

==================  ===========================================================  ==============================================
dialect             input                                                        output
==================  ===========================================================  ==============================================
openai_chat         ``prompt_tokens``, parts included                            ``completion_tokens``, reasoning included
openai_responses    ``input_tokens``, parts included                             ``output_tokens``, reasoning included
claude              ``input_tokens`` + ``cache_creation_...`` + ``cache_read_..``  ``output_tokens``, thinking included
gemini              ``promptTokenCount`` + ``toolUsePromptTokenCount``           ``candidatesTokenCount`` + ``thoughtsTokenCount``
==================  ===========================================================  ==============================================
"""

import attrs


@attrs.frozen
class TokenUsage:
    """Counted tokens, as the provider counted them. A part the provider does not count is 0.

    Attributes:
        input: All input tokens, those read from or written to a cache included.
        output: All output tokens, those of reasoning included.
        cached: Of `input`, those read from a cache.
        cache_written: Of `input`, those written to a cache.
        reasoning: Of `output`, those spent on reasoning.
        cache_written_1h: Of `cache_written`, those kept for an hour.
        tool_input: Of `input`, results of the provider's own tools.
        audio_input: Of `input`, sound.
        audio_output: Of `output`, sound.
        image_input: Of `input`, pictures.
        web_searches: How many searches the provider ran; not tokens.

    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_written: int = 0
    reasoning: int = 0
    cache_written_1h: int = 0
    tool_input: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    web_searches: int = 0

    @property
    def total(self) -> int:
        """All tokens read and written."""
        return self.input + self.output


def count(value: object) -> int:
    """Read a count that a provider sent: never negative, 0 for what is no whole number.

    >>> count(7), count(7.0), count(None), count(-1), count(True), count("7")
    (7, 7, 0, 0, 0, 0)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e18:
        return 0
    return max(0, int(value))
