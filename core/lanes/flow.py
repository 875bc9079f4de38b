"""Streams that are read on their way."""

from collections.abc import Sequence

from dragoman.core.chat.fault import Fault
from dragoman.core.chat.loss import Loss
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.translate import StreamTranslator


class TranslatedFlow:
    """A stream that is read on its way, translated or not."""

    def __init__(self, translator: StreamTranslator) -> None:
        self._translator = translator
        self.feed = translator.feed
        self.end = translator.close
        self.fail = translator.fail

    @property
    def fault(self) -> Fault | None:
        """What ended it badly."""
        return self._translator.fault

    @property
    def usage(self) -> TokenUsage | None:
        """Counted tokens, as far as they were said."""
        return self._translator.usage

    @property
    def losses(self) -> Sequence[Loss]:
        """What could not be said to the client."""
        return self._translator.losses
