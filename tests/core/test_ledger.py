"""The ledger: what is kept of an exchange, and costs that are exact."""

from decimal import Decimal

import msgspec.structs
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.usage import TokenUsage
from dragoman.core.config import Price
from dragoman.core.config_usage import PRICES
from dragoman.core.journal import Attempt, Journal
from dragoman.core.ledger import UNIT, Prices, cost_of, is_counted, make_entry, money

NOW = 1_800_000_000.0
EACH = 1_000_000  # a price of one for a million tokens
JOURNAL = Journal(
    "req-1", "POST", "/v1/chat/completions", "openai_chat", "anna", "nice", 200, "", "", True,
    (Attempt(1, "lab", "first", "key-1", 429, "status", "", NOW, NOW + 1), Attempt(2, "lab", "real", "key-2", 200, "ok", "", NOW + 1, NOW + 3)),
    TokenUsage(input=11, output=7, cached=3, cache_written=2, reasoning=1), 10, 20, NOW, NOW + 2, NOW + 3,
)  # fmt: skip
NO_PRICES = Prices(())

COUNTS = st.integers(0, 10**7)
AMOUNTS = st.integers(0, 10**10)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    """Counts of which the parts fit into the whole."""
    plain, cached, brief, hour, sound = (draw(COUNTS) for _ in range(5))
    written, reasoning, spoken = (draw(COUNTS) for _ in range(3))
    return TokenUsage(
        input=plain + cached + brief + hour + sound,
        output=written + reasoning + spoken,
        cached=cached,
        cache_written=brief + hour,
        cache_written_1h=hour,
        reasoning=reasoning,
        audio_input=sound,
        audio_output=spoken,
    )


ANY_PRICE = st.builds(Price, st.just("*"), *(AMOUNTS for _ in range(8)))


@given(usages(), ANY_PRICE)
def test_a_cost_is_the_sum_of_its_parts(usage: TokenUsage, price: Price) -> None:
    """LAW: with decimal numbers as on paper: every token once, at the price of its kind, nothing rounded."""
    million = Decimal(1_000_000)
    parts = [
        (usage.input - usage.cached - usage.cache_written - usage.audio_input, price.input),
        (usage.cached, price.cache_read),
        (usage.cache_written - usage.cache_written_1h, price.cache_write),
        (usage.cache_written_1h, price.cache_write_1h),
        (usage.audio_input, price.audio_input),
        (usage.output - usage.reasoning - usage.audio_output, price.output),
        (usage.reasoning, price.reasoning),
        (usage.audio_output, price.audio_output),
    ]
    paper = sum((Decimal(count) * (Decimal(each or 0) / million) / million for count, each in parts), Decimal(0))
    cost = cost_of(usage, price)
    assert cost is not None
    assert Decimal(cost) / UNIT == min(paper, Decimal(2**62) / UNIT)
    assert Decimal(money(cost)) == Decimal(cost) / UNIT


@given(usages(), st.sampled_from(["input", "output", "cache_read", "cache_write", "cache_write_1h", "audio_input"]))
def test_a_missing_price_is_not_zero(usage: TokenUsage, kind: str) -> None:
    """LAW: the cost is unknown exactly when there are tokens of a kind without a price."""
    kinds: dict[str, int | None] = dict.fromkeys(PRICES.values(), EACH)
    counts = {
        "input": usage.input - usage.cached - usage.cache_written - usage.audio_input,
        "output": usage.output - usage.reasoning - usage.audio_output,
        "cache_read": usage.cached,
        "cache_write": usage.cache_written - usage.cache_written_1h,
        "cache_write_1h": usage.cache_written_1h,
        "audio_input": usage.audio_input,
    }
    assert (cost_of(usage, Price("*", **(kinds | {kind: None}))) is None) is (counts[kind] > 0)


def test_a_missing_price_of_cached_tokens() -> None:
    """To take that of input would be wrong tenfold."""
    usage = TokenUsage(input=10, cached=1)
    assert cost_of(usage, Price("*", input=EACH)) is None
    assert cost_of(usage, Price("*", input=EACH, cache_read=EACH // 10)) == 9 * EACH + EACH // 10


def test_reasoning_is_output_unless_it_has_a_price() -> None:
    usage = TokenUsage(output=10, reasoning=4)
    assert cost_of(usage, Price("*", output=EACH)) == 10 * EACH
    assert cost_of(usage, Price("*", output=EACH, reasoning=2 * EACH)) == 14 * EACH


def test_counts_that_contradict_each_other() -> None:
    """Parts larger than the whole: no part is negative, and nothing is free."""
    assert cost_of(TokenUsage(input=1, cached=5, output=1, reasoning=2), Price("*", 1, 1, cache_read=1)) == 7
    assert cost_of(TokenUsage(cache_written=1, cache_written_1h=3), Price("*", cache_write=1, cache_write_1h=1)) == 3


def test_money() -> None:
    assert [money(cost) for cost in (0, 1, UNIT // 2, 12 * UNIT, 10 * UNIT + 10)] == [
        "0", "0.000000000001", "0.5", "12", "10.00000000001",
    ]  # fmt: skip


def test_the_longest_pattern_counts() -> None:
    gpt, mini, lab, again = Price("gpt-*", 1), Price("gpt-*-mini", 2), Price("lab/*", 3), Price("GPT-*", 4)
    prices = Prices([gpt, lab, again, mini])
    assert prices.find("openai", "gpt-5.4") is gpt
    assert prices.find("openai", "gpt-5.4-mini") is mini
    assert prices.find("lab", "other") is lab
    assert prices.find("lab", "gpt-5.4") is gpt  # both have five characters: the first
    assert prices.find("openai", "claude") is None
    assert prices.find("openai", "claude") is None  # remembered


def test_names_are_remembered_within_bounds() -> None:
    prices = Prices([Price("m-*", 1)])
    for n in range(5000):
        assert (prices.find("p", f"m-{n}") is None) is False
    assert len(prices._found) <= 4096


def test_an_entry() -> None:
    entry = make_entry(JOURNAL, Prices([Price("real", 2, 3, 1, 5)]))
    assert (entry.at, entry.latency, entry.first_byte, entry.attempts) == (NOW + 3, 3.0, 2.0, 2)
    assert (entry.provider, entry.credential, entry.upstream_model, entry.model) == ("lab", "key-2", "real", "nice")
    assert entry.usage == JOURNAL.usage
    assert entry.cost == 6 * 2 + 3 * 1 + 2 * 5 + 7 * 3
    assert is_counted(JOURNAL)


def test_what_is_not_known_is_none() -> None:
    prices = Prices([Price("real", 1, 1, 1, 1)])
    silent = make_entry(msgspec.structs.replace(JOURNAL, usage=None, first_byte_at=None), prices)
    assert (silent.usage, silent.cost, silent.first_byte) == (None, None, None)
    assert make_entry(JOURNAL, NO_PRICES).cost is None
    nobody = make_entry(msgspec.structs.replace(JOURNAL, attempts=(), status=429), prices)
    assert (nobody.provider, nobody.credential, nobody.upstream_model, nobody.cost) == ("", "", "", None)


def test_whoever_asked_for_no_model_is_not_counted() -> None:
    assert not is_counted(msgspec.structs.replace(JOURNAL, model=""))


def test_names_fit_into_every_file() -> None:
    entry = make_entry(msgspec.structs.replace(JOURNAL, model="x" * 9999, client_key="\ud800ü"), NO_PRICES)
    assert entry.model == "x" * 256
    assert entry.client_key == "?ü"


def test_no_count_is_too_large() -> None:
    """A provider may say anything."""
    entry = make_entry(
        msgspec.structs.replace(JOURNAL, usage=TokenUsage(input=10**18, output=5)), Prices([Price("*", 10**12, 1)])
    )
    assert entry.usage == TokenUsage(input=10**10, output=5)
    parts = make_entry(msgspec.structs.replace(JOURNAL, usage=TokenUsage(input=1, output=2, cached=10**18)), NO_PRICES)
    assert parts.usage == TokenUsage(input=1, output=2, cached=10**10)
    assert entry.cost == 2**62
