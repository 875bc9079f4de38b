"""The whole of routing: from a request's model and client key to a plan, with everything that is remembered between requests.

A reload makes a new router from the old one: credentials that are still there keep their states, counts and attempts in flight,
conversations stay bound, and plans that are under way end as they began.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import attrs

from dragoman.core.access import ANONYMOUS
from dragoman.core.answers import ModelCard
from dragoman.core.config import ClientKey, Config
from dragoman.core.credentials.allowance import Allowances
from dragoman.core.credentials.credential import CredentialState
from dragoman.core.credentials.lane import Lane, Seat, blocked_until, reserved_until
from dragoman.core.credentials.outcome import Outcome
from dragoman.core.credentials.pool import MemberRule, Pool
from dragoman.core.credentials.tokens import Tokens
from dragoman.core.errors import ModelDenied
from dragoman.core.routing.affinity import Affinities, session_of
from dragoman.core.routing.catalog import SPOKEN, Catalog, Route, Target, identity_of
from dragoman.core.routing.mitigation import Mitigation, Switch, rules_of
from dragoman.core.routing.names import AUTO, Mappings, Suffix, may_ask, preview_twins, split_suffix
from dragoman.core.routing.plan import Leg, Plan, is_about_the_credential
from dragoman.core.routing.strategy import STRATEGIES

_OPEN_LANES: Final = 1024  # of names that are not listed
_MOST_LEGS: Final = 16
_MOST_SWITCHES: Final = 1000
_MOST_KNOWN: Final = 4096  # names times client keys whose way is remembered


@attrs.frozen
class Candidate:
    """One who could answer for a name.

    Attributes:
        provider: Its provider.
        credential: Its label.
        upstream_model: The name that would be sent.
        priority: The higher, the earlier.
        weight: Its share under ``weighted-round-robin``.
        why_not: Why it is not asked now; empty when it is.
        is_reserved: So little of its quota is left that others go first.

    """

    provider: str
    credential: str
    upstream_model: str
    priority: int
    weight: int
    why_not: str = ""
    is_reserved: bool = False


@attrs.frozen
class Explanation:
    """What becomes of a name.

    Attributes:
        name: As it was asked for.
        steps: What it turns into, and why, in order.
        candidates: In the order in which they are asked; those who are not asked now come last.

    """

    name: str
    steps: tuple[str, ...]
    candidates: tuple[Candidate, ...]


class Router:
    """Makes plans.

    Args:
        config: The configuration.
        user_agent: What providers are told about us.
        draw: Draws numbers in [0, 1).
        now: Epoch seconds.
        previous: The router of the configuration before, whose memory is taken over.
        dialects: What we can speak to providers.

    Attributes:
        catalog: What can be asked for.
        pool: Who can answer.
        tokens: The secrets of credentials that are renewed.

    """

    def __init__(
        self,
        config: Config,
        user_agent: str,
        *,
        draw: Callable[[], float],
        now: float,
        previous: "Router | None" = None,
        dialects: Collection[str] = SPOKEN,
    ) -> None:
        self._config = config
        self._draw = draw
        self.tokens: Tokens = previous.tokens if previous is not None else Tokens()
        self.catalog = Catalog(config, user_agent, dialects, self.tokens)
        if previous is not None:
            self.catalog.remember(previous.catalog)
        self.pool: Pool = previous.pool if previous is not None else Pool()
        self.pool.times = config.cooldowns
        self.pool.configure(list(_rules(config)), now)
        self.take_secrets(config, now)
        self._affinities: Affinities = previous._affinities if previous is not None else Affinities(0.0)
        self._affinities.ttl = config.routing.session_affinity_ttl
        self._allowances: Allowances = previous._allowances if previous is not None else Allowances()
        self._mappings = Mappings(config.model_mappings)
        self._fallbacks = dict(config.fallbacks)
        self._twins = dict(config.preview_models)
        self._mitigations = {rule.model: Mitigation(rule) for rule in rules_of(config)}
        if previous is not None:
            before: dict[str, Mitigation] = previous._mitigations
            self._mitigations |= {
                m: before[m] for m, new in self._mitigations.items() if m in before and before[m].rule == new.rule
            }
        self._switches: deque[Switch] = previous._switches if previous is not None else deque(maxlen=_MOST_SWITCHES)
        self._lanes: OrderedDict[tuple[int, ...], tuple[Route, Lane, list[Target]]] = OrderedDict()
        self._most_lanes = len(self.catalog.models()) + _OPEN_LANES
        # What becomes of listed names where it is the same each time: by name and client key (kept by the configuration, so its id is its own).
        self._known: dict[tuple[str, int], tuple[Suffix | None, list[Leg]]] = {}

    def take_secrets(self, config: Config, now: float) -> None:
        """Take the tokens that the configuration says; somebody who got another one from outside is looked at again."""
        stay = set()
        for provider in config.providers:
            for credential in provider.credentials:
                if credential.identity and credential.api_key is not None:
                    stay.add(credential.identity)
                    if self.tokens[credential.identity].offer(credential.api_key):
                        self.pool.replaced(credential.identity, now)
        self.tokens.keep(stay)

    # --- one request ---

    def begin(self, model: str, client_key: ClientKey, now: float, *, session: str | None = None) -> Plan:
        """Admit a request and make its plan.

        Args:
            model: As the client wrote it.
            client_key: Who asks.
            now: Epoch seconds.
            session: What `session_of` found, or None.

        Raises:
            AccessDenied: The key has expired.
            ModelDenied: The key may not ask for this model.
            OverLimit: The key has used up what it may use for now.
            UnknownModel: Nobody serves it.

        """
        known = self._known.get((model, id(client_key)))
        suffix, legs = known if known is not None else self._find(model, client_key, now)
        self._allowances.admit(client_key, now)
        return Plan(
            self._config, self.pool, legs, self, self._draw, client_key=client_key, session=session, suffix=suffix
        )

    def _find(self, model: str, client_key: ClientKey, now: float) -> tuple[Suffix | None, list[Leg]]:
        """The suffix and the legs of a name, remembered if they will be the same next time."""
        name, suffix = self._resolve(model, client_key, now)
        legs = list(self._legs(name, client_key, now))
        if not legs:
            raise self.catalog.unknown(model, client_key)
        is_steady = name == model and name not in self._mitigations and self.catalog.is_listed(name)
        if is_steady and len(self._known) < _MOST_KNOWN and any(client_key is key for key in self._config.api_keys):
            self._known[model, id(client_key)] = suffix, legs
        return suffix, legs

    def session(self, fields: Mapping[bytes, bytes], body: bytes, client_key: ClientKey) -> str | None:
        """The conversation a request belongs to, as far as the configuration wants to know."""
        affinity = self._config.routing.session_affinity
        if affinity is False:
            return None
        return session_of(fields, body, scope=client_key.label, derive=affinity is True)

    def _resolve(self, model: str, key: ClientKey, now: float) -> tuple[str, Suffix | None]:
        """What is looked up for a client's name, and its suffix."""
        if not may_ask(key, model):
            raise ModelDenied(f"The client key {key.label!r} may not ask for {model[:200]!r}.", param="model")
        name, suffix = (model, None) if self.catalog.is_listed(model) else split_suffix(model)
        name = self._mappings.apply(name)
        if not self.catalog.is_listed(name):  # else the whole is a name, parentheses and all
            name, own = split_suffix(name)
            suffix = own or suffix  # what the operator wrote into a mapping counts before what the client wrote
        if name == AUTO and not self.catalog.is_listed(AUTO):
            name = self._auto(key, now) or name
        return name, suffix

    def _auto(self, key: ClientKey, now: float) -> str | None:
        """The first listed model that somebody can answer for now; the first of all if nobody can."""
        names = [card.id for card in self.catalog.models(key)]
        for name in names:
            leg = self._leg(name)
            if leg is not None and any(blocked_until(seat, now) <= now for seat in leg.lane.seats[:64]):
                return name
        return names[0] if names else None

    # --- legs ---

    def _legs(self, name: str, key: ClientKey, now: float) -> Iterator[Leg]:
        """The model, then its fallbacks (and theirs), then its twin; each name once."""
        mitigation = self._mitigations.get(name)
        seen: set[str] = set()
        wanted: deque[tuple[str, str, bool]] = deque([(name, "", False)])
        if mitigation is not None:
            is_diverted, switch = mitigation.diverts(now)
            self._note(switch)
            why = "fails too often" if is_diverted else "is served by nobody" if self._is_without(name, now) else ""
            if why:
                fallback = mitigation.rule.fallback
                wanted.appendleft((fallback, f"{name!r} {why}: {fallback!r} is asked for in its place", False))
        if self._config.switch_preview_model:
            twins = (self._twins[name],) if name in self._twins else preview_twins(name)
            wanted.extend((twin, f"the twin of {name!r}, whose limits are reached", True) for twin in twins)
        while wanted and len(seen) < _MOST_LEGS:
            other, why, only_after_limits = wanted.popleft()
            if other in seen:
                continue
            seen.add(other)
            wanted.extend((f, f"a fallback of {other!r}", False) for f in self._fallbacks.get(other, ()))
            # What an operator sends a key's requests to needs no permission of its own.
            leg = self._leg(other, why, only_after_limits=only_after_limits)
            if leg is not None:
                yield leg

    def _is_without(self, name: str, now: float) -> bool:
        """Whether every credential that should have a model has said that it has not."""
        leg = self._leg(name)
        return leg is None or all(_lacks(seat, now) for seat in leg.lane.seats)

    def _leg(self, name: str, why: str = "", *, only_after_limits: bool = False) -> Leg | None:
        route = self.catalog.route(name)
        if route is None:
            return None
        key = tuple(map(id, route.deployments))
        found = self._lanes.get(key)
        if found is None:
            found = self._lanes[key] = (
                route,
                *self._new_lane(route),
            )  # the route is kept, and with it the ids of its deployments
            if len(self._lanes) > self._most_lanes:
                self._lanes.popitem(last=False)
        else:
            self._lanes.move_to_end(key)
        return Leg(name, found[1], found[2], why, only_after_limits)

    def _new_lane(self, route: Route) -> tuple[Lane, list[Target]]:
        seats, targets = [], []
        for deployment in route.deployments:
            provider = deployment.provider
            for target, credential in zip(deployment.targets, deployment.credentials, strict=True):
                priority = provider.priority if credential.priority is None else credential.priority
                weight = provider.weight if credential.weight is None else credential.weight
                seats.append((target.identity, target.upstream_model, priority, weight))
                targets.append(target)
        return self.pool.lane(seats, STRATEGIES[self._config.routing.strategy]), targets

    # --- what came of attempts: the books of plans ---

    def bound_to(self, session: str, name: str, lane: Lane, now: float) -> Seat | None:
        """The seat of a lane that a conversation is bound to."""
        bound = self._affinities.find(session, name, now)
        member = self.pool.members.get(bound[0]) if bound is not None else None
        offer = member.offers.get(bound[1]) if member is not None and bound is not None else None
        return lane.seat_of(offer) if offer is not None else None

    def settled(self, key: ClientKey, session: str | None, name: str, seat: Seat, outcome: Outcome, now: float) -> None:
        """An attempt for the leg `name` has come to `outcome`."""
        mitigation = self._mitigations.get(name)
        if mitigation is not None:
            self._note(mitigation.sample(outcome.kind, now))
        if outcome.tokens:
            self._allowances.spend(key, outcome.tokens, now)
        if session is None:
            return
        if outcome.is_good:
            self._affinities.bind(session, name, seat.member.identity, seat.offer.model, now)
        elif is_about_the_credential(outcome):
            self._affinities.unbind(session, name, seat.member.identity)

    def _note(self, switch: Switch | None) -> None:
        if switch is not None:
            self._switches.append(switch)

    def take_switches(self) -> list[Switch]:
        """The mitigations that began or ended since the last call, for logs and metrics."""
        switches = list(self._switches)
        self._switches.clear()
        return switches

    # --- what is known ---

    def models(self, key: ClientKey | None = None) -> list[ModelCard]:
        """Exactly what can be asked for, by `key`."""
        return self.catalog.models(key)

    def explain(self, model: str, now: float, *, client_key: ClientKey = ANONYMOUS) -> Explanation:
        """What becomes of a name, who would be asked in which order, and why each other one is out.

        Raises:
            ModelDenied: The key may not ask for it.

        """
        name, suffix = self._resolve(model, client_key, now)
        steps = [f"{model!r} is looked up as {name!r}"] if name != model else []
        if suffix is not None:
            steps.append(f"({suffix.text}) says how hard to think")
        candidates: list[Candidate] = []
        for leg in self._legs(name, client_key, now):
            if leg.why:
                steps.append(f"{leg.name!r}: {leg.why}")
            candidates += sorted((self._candidate(leg, seat, now) for seat in leg.lane.seats), key=_by_order)
        for provider, upstream_model, why in self.catalog.left_out(name):
            candidates.append(Candidate(provider, "", upstream_model, 0, 0, why))
        steps += [collision.message for collision in self.catalog.collisions if collision.name == name]
        if not candidates:
            steps.append(self.catalog.unknown(name, client_key).message)
        return Explanation(model, tuple(steps), tuple(candidates))

    def _candidate(self, leg: Leg, seat: Seat, now: float) -> Candidate:
        target = leg.targets[seat.index]
        is_reserved = reserved_until(seat, now) > now
        why_not = self.pool.why_not(seat, now)
        return Candidate(
            target.provider,
            target.credential,
            target.upstream_model,
            seat.tier.priority,
            seat.weight,
            why_not,
            is_reserved,
        )

    # --- over restarts ---

    def save(self) -> dict[str, object]:
        """What should survive a restart, as plain data."""
        return {
            "pool": self.pool.save(),
            "affinities": self._affinities.save(),
            "allowances": self._allowances.save(),
        }

    def track(self) -> None:
        """From now on, note which conversations `take_news` has to tell of."""
        self._affinities.track()

    def take_news(self) -> dict[str, object]:
        """What should survive a restart, of conversations only those that are bound otherwise than at the last call.

        There may be 100,000 of them: to say all of them each time would keep everybody waiting. Credentials and client keys are told in whole.
        ``affinities`` is in the shape of `save` but for those that were let go: their identity is empty. Without
        ``save-cooldown-status`` no state of a credential is told, but its counts are.
        """
        return {
            "pool": self.pool.save(with_states=self._config.save_cooldown_status),
            "affinities": self._affinities.take_changes(),
            "allowances": self._allowances.save(),
        }

    def restore(self, data: object, now: float, *, with_states: bool = True) -> None:
        """Take up what `save` gave, with the states of credentials or without. What is not understood is left out; nothing is raised."""
        if isinstance(data, Mapping):
            self.pool.restore(data.get("pool"), now, with_states=with_states)
            self._affinities.restore(data.get("affinities"), now)
            self._allowances.restore(data.get("allowances"), now)


def _by_order(candidate: Candidate) -> tuple[bool, bool, int]:
    return (bool(candidate.why_not), candidate.is_reserved, -candidate.priority)


def _rules(config: Config) -> Iterator[MemberRule]:
    """What the pool must know of each credential."""
    for provider in config.providers:
        for credential in provider.credentials:
            rests = [credential.disable_cooling, provider.disable_cooling, config.disable_cooling]
            yield MemberRule(
                identity=identity_of(provider, credential),
                provider=provider.name,
                label=credential.label,
                limit=credential.max_concurrency
                if credential.max_concurrency is not None
                else provider.max_concurrency,
                cools=not next(setting for setting in rests if setting is not None),
                quotas=(*provider.quotas, *credential.quotas),
                is_refreshable=credential.is_refreshable,
                disabled=credential.disabled or provider.disabled,
                request_retry=credential.request_retry
                if credential.request_retry is not None
                else provider.request_retry,
            )


def _lacks(seat: Seat, now: float) -> bool:
    standing = seat.offer.standing
    return standing is not None and standing.state is CredentialState.REJECTED and standing.resumes_at > now
