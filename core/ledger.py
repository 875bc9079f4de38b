"""The usage ledger: what is kept of one exchange, and what it cost.

Lives here: from a `Journal` to an `Entry`, from counted tokens and a price to a cost. May not live here: files, sums, what prices are.

Costs are whole numbers of trillionths of the currency in which prices are given, so that sums are exact: a price of 0.075 for a million tokens
is 75,000 trillionths for one. What nobody knows is None and never 0: the tokens of an exchange whose provider did not count them, and the cost
of tokens of a kind that has no price (to take the price of input for those read from a cache would be wrong tenfold).
"""

from collections.abc import Sequence
from typing import Final

import attrs

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import Price
from dragoman.core.journal import Journal
from dragoman.core.wildcards import compile_wildcards

UNIT: Final = 1_000_000_000_000  # trillionths in one of the currency

_MOST_TOKENS: Final = 10**10  # what a provider says beyond that is no count; sums of these fit into 64 bits
_MOST_COST: Final = 2**62
_LONGEST: Final = 256  # characters of a name: a client may ask for a model of any length
_REMEMBERED: Final = 4096  # names whose price was looked up


@attrs.frozen
class Entry:
    """What is kept of one exchange.

    Attributes:
        at: When it ended, epoch seconds.
        request_id: As in the log.
        client_key: Label of the client key; empty: none.
        dialect: The client's.
        model: What the client asked for.
        provider: Who was asked last; empty: nobody.
        credential: With which credential, its label.
        upstream_model: For what.
        status: What the client was told.
        fault: Whose; empty: nothing failed.
        streamed: Whether the answer was a stream.
        attempts: How many there were.
        usage: What the provider counted; None when it did not say.
        latency: From the request to the end of the answer, seconds.
        first_byte: From the request to the first byte of the answer, seconds; None when there was none.
        cost: In trillionths (`UNIT`); None when it is not known.

    """

    at: float
    request_id: str
    client_key: str
    dialect: str
    model: str
    provider: str
    credential: str
    upstream_model: str
    status: int
    fault: str
    streamed: bool
    attempts: int
    usage: TokenUsage | None
    latency: float
    first_byte: float | None
    cost: int | None


class Prices:
    """Finds the price of a model.

    Args:
        prices: Of those that match the longest pattern counts; of equally long ones the first.

    """

    def __init__(self, prices: Sequence[Price]) -> None:
        longest_first = sorted(prices, key=lambda price: -len(price.pattern))
        self._prices = [(pattern, price) for price in longest_first if (pattern := compile_wildcards([price.pattern]))]
        self._found: dict[tuple[str, str], Price | None] = {}

    def find(self, provider: str, model: str) -> Price | None:
        """The price of an upstream model at a provider; None when nobody said one."""
        key = (provider, model)
        if key not in self._found:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            names = (model, f"{provider}/{model}")
            matching = (price for pattern, price in self._prices if any(map(pattern.fullmatch, names)))
            self._found[key] = next(matching, None)
        return self._found[key]


def is_counted(journal: Journal) -> bool:
    """Whether an exchange belongs into the ledger: somebody who may asked for a model. Not so probes of health, and strangers."""
    return bool(journal.model)


def make_entry(journal: Journal, prices: Prices) -> Entry:
    """What is kept of an exchange."""
    last = journal.attempts[-1] if journal.attempts else None
    usage = None if journal.usage is None else _bounded(journal.usage)
    price = None if last is None or usage is None else prices.find(last.provider, last.upstream_model)
    first = journal.first_byte_at
    return Entry(
        at=journal.ended_at,
        request_id=_name(journal.request_id),
        client_key=_name(journal.client_key),
        dialect=journal.dialect,
        model=_name(journal.model),
        provider=_name(last.provider) if last else "",
        credential=_name(last.credential) if last else "",
        upstream_model=_name(last.upstream_model) if last else "",
        status=journal.status,
        fault=journal.fault,
        streamed=journal.streamed,
        attempts=len(journal.attempts),
        usage=usage,
        latency=journal.ended_at - journal.started_at,
        first_byte=None if first is None else first - journal.started_at,
        cost=None if price is None or usage is None else cost_of(usage, price),
    )


def cost_of(usage: TokenUsage, price: Price) -> int | None:
    """What counted tokens cost, in trillionths; None when there are some of a kind that has no price.

    >>> cost_of(TokenUsage(input=1000, cached=900, output=10), Price("m", 3_000_000, 15_000_000, cache_read=300_000))
    720000000
    """
    brief = usage.cache_written - usage.cache_written_1h
    plain_input = usage.input - usage.cached - usage.cache_written - usage.audio_input
    parts = (
        (max(0, plain_input), price.input),
        (usage.cached, price.cache_read),
        (max(0, brief), price.cache_write),
        (usage.cache_written_1h, price.cache_write_1h),
        (usage.audio_input, price.audio_input),
        (max(0, usage.output - usage.reasoning - usage.audio_output), price.output),
        (usage.reasoning, price.output if price.reasoning is None else price.reasoning),
        (usage.audio_output, price.audio_output),
    )
    cost = 0
    for tokens, each in parts:
        if tokens:
            if each is None:
                return None
            cost += tokens * each
    return min(cost, _MOST_COST)


def money(cost: int) -> str:
    """A cost as a decimal number, exactly.

    >>> money(720_000_000), money(3 * UNIT), money(0)
    ('0.00072', '3', '0')
    """
    whole, rest = divmod(cost, UNIT)
    return f"{whole}.{rest:012d}".rstrip("0").rstrip(".")


def _bounded(usage: TokenUsage) -> TokenUsage:
    u = usage  # attrs.astuple would take ten times as long, for each exchange
    parts = (u.cached, u.cache_written, u.cache_written_1h, u.reasoning, u.audio_input, u.audio_output)
    if u.input <= _MOST_TOKENS and u.output <= _MOST_TOKENS and max(parts) <= _MOST_TOKENS:
        return usage
    return TokenUsage(*(min(count, _MOST_TOKENS) for count in attrs.astuple(usage)))


def _name(text: str) -> str:
    """A name that every file can hold: not too long, without halves of characters."""
    return text if len(text) <= _LONGEST and text.isascii() else text[:_LONGEST].encode("utf-8", "replace").decode()
