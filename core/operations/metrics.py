"""What became of requests, counted by provider, by credential and by model: over all time, and over the last minutes.

Rule 1: a *provider* and a *credential* are counted by attempts: each try counts for whom it was made at, also when another one gave the answer.
A *model* is counted by exchanges, under the name the client asked for (without a suffix for reasoning): what clients got. Rule 2: an exchange counts
at the instant it ends; whoever takes long to answer is seen late. Rule 3: tokens count for the last attempt, and where the provider counted none
nothing is guessed: that is a number of its own (`Counts.usage_missing`). Rule 4: memory is bounded whatever names come; beyond `MOST_MODELS` and
`MOST_CREDENTIALS` those that were idle longest make room, a tenth at a time, and what they counted goes to `OTHER`. Rule 5: `Metrics.record` is called with each
exchange, so it does a few additions and no more; whoever reads does the rest.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Final, TypeVar

import attrs

from dragoman.core.chat.effort import budget_of, level_of
from dragoman.core.chat.request import Thinking
from dragoman.core.chat.usage import TokenUsage
from dragoman.core.journal import Attempt, Journal
from dragoman.core.operations.rolling import Cell, Rolling, bucket_of, quantile
from dragoman.core.thinking import split_suffix

OTHER: Final = "other"  # what has no place of its own
MOST_PROVIDERS: Final = 1000
MOST_MODELS: Final = 500
MOST_CREDENTIALS: Final = 20_000
_CREDENTIAL_MINUTES: Final = 10  # there may be many of them: no longer window, and no histograms

# The places of counters in a cell.
(
    _GOOD, _ABANDONED, _LIMITED, _REFUSED, _REJECTED, _UNAVAILABLE, _USAGE_MISSING, _INPUT, _OUTPUT, _REASONING, _CACHED, _CHECKED,
    _MISMATCHED, _LATENCY_SUM, _FIRST_TOKEN_SUM,
) = range(15)  # fmt: skip
_COUNTERS: Final = 15
_BY_STATUS: Final = -1
_PLACES: Final = {"ok": _GOOD, "abandoned": _ABANDONED, "status": _BY_STATUS}
_LATENCY, _FIRST_TOKEN = range(2)

_MICRO: Final = 1_000_000  # sums of seconds are kept in whole microseconds
_CLIENT_LEFT: Final = 499
_UNKNOWN_MODEL: Final = 404

# Operations whose answers say nothing of tokens used, by the end of their paths.
_WITHOUT_USAGE: Final = ("count_tokens", "input_tokens", "countTokens", "embedContent", "batchEmbedContents")

_K = TypeVar("_K", bound=Hashable)


@attrs.frozen
class Counts:
    """What was counted, of one provider, credential or model.

    Attributes:
        attempts: Attempts that ended; of a model: exchanges.
        successes: Those that gave an answer.
        abandoned: Those that the client (or the end of the gateway) cut short; neither successes nor errors.
        limited: Errors: answered 429.
        refused: Errors: answered 401 or 403.
        rejected: Errors: answered any other 4xx but 408: the request, or the model in it, was not accepted.
        unavailable: Errors: anything else: no connection, 5xx, silence, a broken answer.
        usage_missing: Successes whose answer did not say what tokens it took, though it should.
        input_tokens: As `TokenUsage`, and so the next ones: the cached are among the input, those of reasoning among the output.
        output_tokens: All output.
        reasoning_tokens: Of reasoning.
        cached_tokens: Read from a cache.
        thinking_checked: Exchanges whose client asked for some amount of reasoning.
        thinking_mismatched: Of those: another amount was applied, or none.
        latency: Histogram of the seconds that successes took; empty for credentials.
        first_token: Histogram of the seconds to the first piece of streams; empty for credentials.
        latency_sum: All seconds of `latency`.
        first_token_sum: All seconds of `first_token`.

    """

    attempts: int = 0
    successes: int = 0
    abandoned: int = 0
    limited: int = 0
    refused: int = 0
    rejected: int = 0
    unavailable: int = 0
    usage_missing: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    thinking_checked: int = 0
    thinking_mismatched: int = 0
    latency: Mapping[int, int] = attrs.field(factory=dict, repr=False)
    first_token: Mapping[int, int] = attrs.field(factory=dict, repr=False)
    latency_sum: float = 0.0
    first_token_sum: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        mine, theirs = _counts_only(self), _counts_only(other)
        latency, first_token = dict(self.latency), dict(self.first_token)
        for whole, part in ((latency, other.latency), (first_token, other.first_token)):
            for bucket, n in part.items():
                whole[bucket] = whole.get(bucket, 0) + n
        sums = {name: mine[name] + theirs[name] for name in mine}
        return attrs.evolve(Counts(**sums), latency=latency, first_token=first_token)

    @property
    def errors(self) -> int:
        """Attempts that failed, whoever is to blame."""
        return self.limited + self.refused + self.rejected + self.unavailable

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens

    @property
    def error_ratio(self) -> float:
        """Errors among all that came to an end; 0 when nothing did."""
        return self._share(self.errors)

    @property
    def limited_ratio(self) -> float:
        """Of 429."""
        return self._share(self.limited)

    @property
    def refused_ratio(self) -> float:
        """Of 401 and 403."""
        return self._share(self.refused)

    @property
    def unavailable_ratio(self) -> float:
        """Of those who did not answer, or with a failure of their own."""
        return self._share(self.unavailable)

    @property
    def availability(self) -> float:
        """1 less `unavailable_ratio`: a limit, or a request that was refused, is an answer."""
        return 1.0 - self._share(self.unavailable)

    @property
    def success_rate(self) -> float:
        """1 less `error_ratio`."""
        return 1.0 - self._share(self.errors)

    @property
    def usage_missing_ratio(self) -> float:
        """Of successes, those without a word on tokens."""
        return self.usage_missing / self.successes if self.successes else 0.0

    @property
    def thinking_mismatch_ratio(self) -> float:
        """Of those who asked for reasoning, those who did not get what they asked for."""
        return self.thinking_mismatched / self.thinking_checked if self.thinking_checked else 0.0

    @property
    def latency_p50(self) -> float | None:
        """Seconds; None when nothing was timed."""
        return quantile(self.latency, 0.50)

    @property
    def latency_p95(self) -> float | None:
        """Seconds; None when nothing was timed."""
        return quantile(self.latency, 0.95)

    @property
    def latency_p99(self) -> float | None:
        """Seconds; None when nothing was timed."""
        return quantile(self.latency, 0.99)

    @property
    def first_token_p50(self) -> float | None:
        """Seconds; None when nothing was timed."""
        return quantile(self.first_token, 0.50)

    @property
    def first_token_p95(self) -> float | None:
        """Seconds; None when nothing was timed."""
        return quantile(self.first_token, 0.95)

    def _share(self, part: int) -> float:
        ended = self.attempts - self.abandoned
        return part / ended if ended else 0.0


def _counts_only(counts: Counts) -> dict[str, Any]:
    return attrs.asdict(counts, recurse=False, filter=lambda field, _: field.name not in ("latency", "first_token"))


def _counts(cell: Cell) -> Counts:
    latency, first_token = cell.buckets or ({}, {})
    (
        successes, abandoned, limited, refused, rejected, unavailable, usage_missing, taken, given, reasoning, cached, checked, mismatched,
        latency_sum, first_token_sum,
    ) = cell.counts  # fmt: skip
    attempts = successes + abandoned + limited + refused + rejected + unavailable
    return Counts(
        attempts, successes, abandoned, limited, refused, rejected, unavailable, usage_missing, taken, given, reasoning, cached,
        checked, mismatched, latency, first_token, latency_sum / _MICRO, first_token_sum / _MICRO,
    )  # fmt: skip


class _Series(dict[_K, Rolling]):
    """Things that are counted, by name; bounded. To ask for a name that is not there makes a place for it."""

    def __init__(self, most: int, histograms: int, **more: int) -> None:
        super().__init__()
        self._most = most
        self._histograms = histograms
        self._more = more
        self.other = self._new()

    def _new(self) -> Rolling:
        return Rolling(_COUNTERS, self._histograms, **self._more)

    def __missing__(self, name: _K) -> Rolling:
        if len(self) >= self._most:
            # A tenth at once: to look for the idlest takes a look at all.
            for idle in sorted(self, key=lambda name: self[name].seen_at)[: max(1, self._most // 10)]:
                self.other.absorb(self.pop(idle).total())
        rolling = self[name] = self._new()
        return rolling

    def last(self, name: _K, seconds: float, now: float) -> Counts:
        """Of the last `seconds`."""
        return _counts(self[name].last(seconds, now)) if name in self else Counts()

    def total(self, name: _K) -> Counts:
        """Of all time."""
        return _counts(self[name].total()) if name in self else Counts()


class Metrics:
    """The counts of a gateway; they outlive its configurations.

    Attributes:
        started_at: When counting began, epoch seconds.

    """

    def __init__(self, now: float = 0.0) -> None:
        self.started_at = now
        self._providers: _Series[str] = _Series(MOST_PROVIDERS, 2)
        self._models: _Series[str] = _Series(MOST_MODELS, 2)
        self._credentials: _Series[tuple[str, str]] = _Series(MOST_CREDENTIALS, 0, coarse=_CREDENTIAL_MINUTES)
        self._watched: frozenset[str] = frozenset()
        self._exchanges: dict[tuple[str, int, str], int] = {}

    # --- what happens ---

    def watch(self, models: Iterable[str]) -> None:
        """Count these also where nobody serves them; other names that nobody serves are all `OTHER`: anybody can make them up."""
        self._watched = frozenset(models)

    def record(self, journal: Journal) -> None:
        """Count an exchange that has ended."""
        now = journal.ended_at
        answer = (journal.dialect, journal.status // 100, journal.fault)
        self._exchanges[answer] = self._exchanges.get(answer, 0) + 1
        if not journal.attempts:
            if journal.model:
                self._record_unanswered(journal, now)
            return
        for attempt in journal.attempts[:-1]:
            self._record_attempt(attempt, now)
        place, provider, credential = self._record_attempt(journal.attempts[-1], now)
        model = self._models[plain_model(journal.model)].cell(now)
        model.counts[_place_of_exchange(journal)] += 1
        self._record_last(journal, place, provider, credential, model)

    def _record_attempt(self, attempt: Attempt, now: float) -> tuple[int, Cell, Cell]:
        provider = self._providers[attempt.provider].cell(now)
        credential = self._credentials[attempt.provider, attempt.credential].cell(now)
        place = _PLACES.get(attempt.outcome, _UNAVAILABLE)
        if place == _BY_STATUS:
            place = _place_of_status(attempt.status or 0)
        provider.counts[place] += 1
        credential.counts[place] += 1
        return place, provider, credential

    def _record_last(self, journal: Journal, place: int, provider: Cell, credential: Cell, model: Cell) -> None:
        """What is about the last attempt."""
        cells = (provider, credential, model)
        if journal.usage is not None:
            _add_tokens(cells, journal.usage)
        elif place == _GOOD and not journal.path.endswith(_WITHOUT_USAGE):
            for cell in cells:
                cell.counts[_USAGE_MISSING] += 1
        if journal.thinking_asked is not None:
            _add_thinking(cells, journal.thinking_asked, journal.thinking_applied)
        if place == _GOOD:
            last = journal.attempts[-1]
            _time(provider, last.started_at, last.first_token_at, last.ended_at)
            _time(model, journal.started_at, last.first_token_at, journal.ended_at)

    def _record_unanswered(self, journal: Journal, now: float) -> None:
        """Nobody was asked: nobody serves the model, or nobody can now. What else is wrong with a request says nothing of the model."""
        if journal.fault == "client" and journal.status != _UNKNOWN_MODEL:
            return
        name = plain_model(journal.model)
        is_named = name in self._watched or name in self._models
        cell = (self._models[name] if is_named else self._models.other).cell(now)
        cell.counts[_place_of_exchange(journal)] += 1

    # --- what is known ---

    def of_provider(self, name: str, seconds: float, now: float) -> Counts:
        """Attempts at a provider in the last `seconds` (up to an hour; see `rolling` for how exactly)."""
        return self._providers.last(name, seconds, now)

    def of_model(self, model: str, seconds: float, now: float) -> Counts:
        """Exchanges whose client asked for a model, in the last `seconds` (up to an hour)."""
        return self._models.last(model, seconds, now)

    def of_credential(self, provider: str, credential: str, seconds: float, now: float) -> Counts:
        """Attempts with a credential, by its label, in the last `seconds` (up to ten minutes); without times."""
        return self._credentials.last((provider, credential), seconds, now)

    def provider_total(self, name: str) -> Counts:
        """Attempts at a provider since the start."""
        return self._providers.total(name)

    def model_total(self, model: str) -> Counts:
        """Exchanges whose client asked for a model, since the start; of `OTHER`: of all that have no place of their own."""
        return _counts(self._models.other.total()) if model == OTHER else self._models.total(model)

    def seen_at(self, provider: str) -> float | None:
        """When an attempt at a provider last ended, epoch seconds; None: never."""
        return self._providers[provider].seen_at if provider in self._providers else None

    def providers(self) -> list[str]:
        """Providers that were asked, also those that are not configured any more."""
        return list(self._providers)

    def models(self) -> list[str]:
        """Models that have counts of their own."""
        return list(self._models)

    def exchanges(self) -> Mapping[tuple[str, int, str], int]:
        """How many exchanges, by the client's dialect, the hundreds of the status, and whose fault it was."""
        return dict(self._exchanges)


def _place_of_exchange(journal: Journal) -> int:
    if not journal.fault:
        return _GOOD
    if journal.status == _CLIENT_LEFT or (journal.fault == "client" and journal.status < 400):
        return _ABANDONED
    return _place_of_status(journal.status)


def _place_of_status(status: int) -> int:
    if status == 429:
        return _LIMITED
    if status in (401, 403):
        return _REFUSED
    return _REJECTED if 400 <= status < 500 and status != 408 else _UNAVAILABLE


def plain_model(model: str) -> str:
    """The name without its suffix for reasoning."""
    return split_suffix(model)[0] if model.endswith(")") else model


def _add_tokens(cells: Iterable[Cell], usage: TokenUsage) -> None:
    for cell in cells:
        counts = cell.counts
        counts[_INPUT] += usage.input
        counts[_OUTPUT] += usage.output
        if usage.reasoning or usage.cached:
            counts[_REASONING] += usage.reasoning
            counts[_CACHED] += usage.cached


def _add_thinking(cells: Iterable[Cell], asked: Thinking, applied: Thinking | None) -> None:
    if asked.mode is None:  # only whether to show it
        return
    is_kept = keeps_thinking(asked, applied)
    for cell in cells:
        cell.counts[_CHECKED] += 1
        cell.counts[_MISMATCHED] += not is_kept


def _time(cell: Cell, began: float, first: float | None, ended: float) -> None:
    counts, (latency, first_token) = cell.counts, cell.buckets
    seconds = ended - began
    bucket = bucket_of(seconds)
    latency[bucket] = latency.get(bucket, 0) + 1
    counts[_LATENCY_SUM] += round(seconds * _MICRO)
    if first is not None:
        seconds = first - began
        bucket = bucket_of(seconds)
        first_token[bucket] = first_token.get(bucket, 0) + 1
        counts[_FIRST_TOKEN_SUM] += round(seconds * _MICRO)


def keeps_thinking(asked: Thinking, applied: Thinking | None) -> bool:
    """Whether the reasoning applied is as much as was asked for: the same, or the same said in the other unit (a level, a budget).

    >>> keeps_thinking(Thinking("level", level="high"), Thinking("budget", budget=24576))
    True
    >>> keeps_thinking(Thinking("level", level="max"), Thinking("level", level="high"))
    False
    >>> keeps_thinking(Thinking("off"), None)  # a model that does not reason
    True
    """
    if applied is None:
        return asked.mode in ("off", "auto")
    if asked.mode == applied.mode:
        return (asked.level, asked.budget) == (applied.level, applied.budget)
    for one, other in ((asked, applied), (applied, asked)):
        if one.mode == "level" and other.mode == "budget":
            level, budget = one.level or "", other.budget or 0
            return budget == budget_of(level) or level == level_of(budget)
    return False
