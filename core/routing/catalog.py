"""What can be asked for, and who may answer: every model name with its deployments.

A name is a model's alias, its ``prefix/alias`` where the provider has a prefix (only that with ``force-model-prefix``), or
``provider/anything`` and ``prefix/anything`` where a provider takes any model. Several providers behind one name share it, and so do several upstream models
of one provider: a pool. Those of the highest priority come first. Providers that share a name by chance rather than by intent are a
collision (`Catalog.collisions`): nothing is wrong with it, but whoever wrote the configuration should know.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from dragoman.core.answers import ModelCard
from dragoman.core.config import MODEL_ROOT, ClientKey, Config, Credential, Provider
from dragoman.core.credentials.tokens import Token, Tokens
from dragoman.core.effects import Origin
from dragoman.core.errors import UnknownModel
from dragoman.core.routing.names import may_ask
from dragoman.core.urls import parse_proxy, split_url
from dragoman.core.wildcards import compile_wildcards

SPOKEN: Final = frozenset(
    {"openai_chat", "openai_responses", "claude", "gemini", "code_assist"}
)  # dialects we can speak to providers
_OPEN_ROUTES: Final = 1024  # names of open providers that are remembered; clients may make up any number

# Looking for names that come near costs time in proportion to the name asked for, and that may be 64 MiB.
_LONGEST_LIKELY: Final = 128


@attrs.frozen
class Target:
    """One provider, one upstream model, one credential: what an attempt is made at.

    Attributes:
        provider: Its name.
        credential: The credential's label.
        upstream_model: The name to send.
        origin: Where to connect.
        base_path: The path part of the base URL, without a trailing slash.
        head: The header lines that every request to it carries, credential included unless it is a `token`.
        dialect: What it speaks.
        signer: Whose signatures of reasoning it can check: ``openai``, ``claude``, ``gemini``; empty: nobody's.
        is_official: It is the dialect's inventor, not one of those who speak it too.
        identity: Of the credential: the same over reloads and restarts while the credential is the same; tells nothing of it.
        model_root: What is between `base_path` and ``/models/...`` in Gemini's paths.
        project: On whose account, for a dialect that says it in the body.
        token: The credential, where it changes while exchanges run; None where it does not.

    """

    provider: str
    credential: str
    upstream_model: str
    origin: Origin
    base_path: bytes
    head: bytes = attrs.field(repr=False)
    dialect: str = "openai_chat"
    signer: str = ""
    is_official: bool = False
    identity: str = ""
    model_root: str = MODEL_ROOT
    project: str = ""
    token: Token | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def lines(self) -> bytes:
        """`head`, with the token as it is now."""
        return self.head if self.token is None else self.head + self.token.line


_OFFICIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "openai_chat": ("api.openai.com",),
    "openai_responses": ("api.openai.com",),
    "claude": ("api.anthropic.com",),
    "gemini": ("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
    "code_assist": ("cloudcode-pa.googleapis.com",),
}
_VERTEX: Final = "-aiplatform.googleapis.com"  # behind the name of a place
_SIGNS_TOO: Final = frozenset({"chatgpt.com"})  # OpenAI's as well, but not its API in all things
_SIGNERS: Final[Mapping[str, str]] = {
    "openai_chat": "openai", "openai_responses": "openai", "claude": "claude", "gemini": "gemini", "code_assist": "gemini",
}  # fmt: skip


def _auth(provider: Provider, is_official: bool, key: str) -> dict[str, str]:
    """How a provider wants to be shown a key. Compatible servers in front of Claude take it as a bearer, as its SDKs can send it."""
    match "" if provider.takes_bearer else provider.dialect:
        case "claude":
            return {"x-api-key": key} if is_official else {"authorization": f"Bearer {key}"}
        case "gemini":
            return {"x-goog-api-key": key}
        case _:
            return {"authorization": f"Bearer {key}"}


def auth_fields(provider: Provider, key: str | None) -> dict[str, str]:
    """The header by which a provider is shown a key; none without a key."""
    is_official = split_url(provider.base_url).host in _OFFICIAL.get(provider.dialect, ())
    return {} if key is None else _auth(provider, is_official, key)


@attrs.frozen(eq=False)
class Deployment:
    """A provider and an upstream model, with the credentials that may serve it.

    Attributes:
        provider: The provider.
        upstream_model: The name to send.
        targets: One for each credential, in order of configuration.
        credentials: The credential of each target.

    """

    provider: Provider
    upstream_model: str
    targets: tuple[Target, ...]
    credentials: tuple[Credential, ...] = attrs.field(repr=False)


@attrs.frozen(eq=False)
class Route:
    """From a name to its deployments, in order of configuration.

    Attributes:
        name: What is asked for.
        deployments: Who may answer.
        left_out: Provider, upstream model and reason for each that would, but for its configuration.

    """

    name: str
    deployments: tuple[Deployment, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()

    def targets(self) -> list[Target]:
        """All targets of all deployments, but for disabled credentials."""
        return [
            target
            for deployment in self.deployments
            for target, credential in zip(deployment.targets, deployment.credentials, strict=True)
            if not credential.disabled
        ]


@attrs.frozen
class Collision:
    """One name, several providers; `providers` in order of configuration, `message` for people."""

    name: str
    providers: tuple[str, ...]
    message: str


class Catalog:
    """The models of a configuration.

    Args:
        config: The configuration.
        user_agent: What providers are told about us.
        dialects: What we can speak to providers.
        tokens: Those that change while exchanges run.

    """

    def __init__(
        self, config: Config, user_agent: str, dialects: Collection[str] = SPOKEN, tokens: Tokens | None = None
    ) -> None:
        self._tokens = Tokens() if tokens is None else tokens
        self._config = config
        self._user_agent = user_agent
        self._dialects = dialects
        self._found: dict[str, list[Deployment]] = {}
        self._left_out: dict[str, list[tuple[str, str, str]]] = {}
        self._open: dict[str, list[tuple[Provider, re.Pattern[str] | None]]] = {}
        self._open_routes: OrderedDict[str, Route] = OrderedDict()
        self._turns: dict[str, int] = {}
        self._learned: dict[str, tuple[str, ...]] = {}
        for provider in config.providers:
            self._add(provider)
        self._routes = {
            name: Route(name, tuple(found), tuple(self._left_out.get(name, ()))) for name, found in self._found.items()
        }
        self.collisions = self._find_collisions()

    def _add(self, provider: Provider) -> None:
        problem = self._problem_of(provider)
        if provider.takes_any and problem is None:
            for name in dict.fromkeys((provider.prefix or provider.name, provider.name)):
                self._open.setdefault(name, []).append((provider, compile_wildcards(provider.excluded_models)))
        for model in provider.models:
            names = [] if self._config.force_model_prefix and provider.prefix else [model.alias]
            names += [f"{provider.prefix}/{model.alias}"] if provider.prefix else []
            deployment = None if problem else self._deployment(provider, model.name)
            for name in names:
                if deployment is None:
                    self._left_out.setdefault(name, []).append((provider.name, model.name, problem or ""))
                else:
                    self._found.setdefault(name, []).append(deployment)

    def _problem_of(self, provider: Provider) -> str | None:
        if provider.disabled:
            return "the provider is disabled"
        if not provider.credentials:
            return "it has no credential"
        if provider.dialect not in self._dialects:
            return f"it speaks {provider.dialect}, which cannot be spoken to providers yet"
        if all(credential.disabled for credential in provider.credentials):
            return "all its credentials are disabled"
        return None

    def _deployment(self, provider: Provider, upstream_model: str) -> Deployment:
        targets = tuple(self._target(provider, credential, upstream_model) for credential in provider.credentials)
        return Deployment(provider, upstream_model, targets, provider.credentials)

    def _target(self, provider: Provider, credential: Credential, upstream_model: str) -> Target:
        url = split_url(provider.base_url)
        proxy = parse_proxy(credential.proxy_url if credential.proxy_url is not None else self._config.proxy_url or "")
        fields = {
            "host": url.authority,
            "user-agent": self._user_agent,
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        is_official = url.host in _OFFICIAL.get(provider.dialect, ()) or url.host.endswith(_VERTEX)
        token = self._tokens[credential.identity] if credential.identity and credential.api_key is not None else None
        if credential.api_key is not None and token is None:
            fields |= _auth(provider, is_official, credential.api_key)
        fields |= {name.lower(): value for name, value in (*provider.headers, *credential.headers)}
        return Target(
            provider=provider.name,
            credential=credential.label,
            upstream_model=upstream_model,
            origin=Origin(url.scheme, url.host, url.port, proxy, self._config.ca_file),
            base_path=url.path.rstrip("/").encode("ascii"),
            head="".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode("latin-1"),
            dialect=provider.dialect,
            signer=_SIGNERS[provider.dialect] if is_official or url.host in _SIGNS_TOO else "",
            is_official=is_official,
            identity=identity_of(provider, credential),
            model_root=provider.model_root,
            project=credential.project,
            token=token,
        )

    def _find_collisions(self) -> tuple[Collision, ...]:
        collisions = []
        for name, found in self._found.items():
            providers = tuple(dict.fromkeys(d.provider.name for d in found))
            if len(providers) > 1:
                message = (
                    f"{name!r} is served by {', '.join(providers)}: they share its requests, those of the highest `priority` first. "
                    "Give one of them another `alias`, a `prefix`, or a `priority`, if that is not meant."
                )
                collisions.append(Collision(name, providers, message))
            elif len(models := dict.fromkeys(d.upstream_model for d in found)) > 1 and name in models:
                message = f"{name!r} is the name of one model and the alias of others ({', '.join(models)}): they share its requests."
                collisions.append(Collision(name, providers, message))
        return tuple(collisions)

    def route(self, name: str) -> Route | None:
        """Who may answer for `name`, or None."""
        return self._routes.get(name) or self._open_route(name)

    def is_listed(self, name: str) -> bool:
        """Whether `name` is one of `models`."""
        return name in self._routes

    def _open_route(self, name: str) -> Route | None:
        route = self._open_routes.get(name)
        if route is not None:
            self._open_routes.move_to_end(name)
            return route
        prefix, _, upstream_model = name.partition("/")
        providers = self._open.get(prefix)
        if providers is None or not upstream_model:
            return None
        serving = [p for p, excluded in providers if excluded is None or not excluded.fullmatch(upstream_model)]
        if not serving:
            return None
        route = Route(name, tuple(self._deployment(provider, upstream_model) for provider in serving))
        self._open_routes[name] = route
        if len(self._open_routes) > _OPEN_ROUTES:
            self._open_routes.popitem(last=False)
        return route

    def find(self, model: str) -> Sequence[Target]:
        """Who may answer for `model`, the next in turn first, whatever their state.

        Raises:
            UnknownModel: Nobody; the message names what comes near.

        """
        route = self.route(model)
        if route is None:
            raise self.unknown(model)
        targets = route.targets()
        if len(targets) == 1 or model not in self._routes:
            return targets
        turn = self._turns.get(model, 0)
        self._turns[model] = (turn + 1) % len(targets)
        return targets[turn:] + targets[:turn]

    def unknown(self, model: str, key: ClientKey | None = None) -> UnknownModel:
        """The error for a name that nobody serves; it names what comes near and what `key` may ask for."""
        near: list[str] = []
        if len(model) <= _LONGEST_LIKELY:
            import difflib  # a start does without it

            known = [*self._routes, *(f"{p}/..." for p in self._open)]
            names = [name for name in known if key is None or may_ask(key, name)]
            near = difflib.get_close_matches(model, names, n=3, cutoff=0.5)
        hint = f" Near it: {', '.join(near)}." if near else " GET /v1/models lists what can be asked for."
        out = self._left_out.get(model)
        if out:
            hint = f" {out[0][0]!r} would, but {out[0][2]}."
        return UnknownModel(f"No provider here serves the model {model[:200]!r}.{hint}", param="model")

    def models(self, key: ClientKey | None = None) -> list[ModelCard]:
        """Every name that can be asked for (by `key`, if given) and is known, in order of configuration.

        What a provider says it has is listed as ``prefix/model``, unless it is served under its own name anyway.
        """
        cards = {name: self._card(name) for name in self._routes}
        for prefix, providers in self._open.items():
            for provider, excluded in providers:
                served = {model.name for model in provider.models}
                for model in self._learned.get(identity_of(provider, _first_of(provider)), ()):
                    if model not in served and (excluded is None or not excluded.fullmatch(model)):
                        cards.setdefault(f"{prefix}/{model}", ModelCard(f"{prefix}/{model}", provider.name, 0))
        return [card for card in cards.values() if key is None or may_ask(key, card.id)]

    def open_targets(self) -> list[Target]:
        """One target of each provider that may have more models than its configuration says.

        Not of Vertex AI, which has no list beside its models.
        """
        targets: dict[str, Target] = {}
        for provider in (provider for found in self._open.values() for provider, _ in found):
            credential = _first_of(provider)
            if provider.model_root == MODEL_ROOT and identity_of(provider, credential) not in targets:
                targets[identity_of(provider, credential)] = self._target(provider, credential, "")
        return list(targets.values())

    def learn(self, target: Target, models: Sequence[str]) -> None:
        """Take note of the models that one of `open_targets` says it has."""
        self._learned[target.identity] = tuple(models)

    def remember(self, before: "Catalog") -> None:
        """Take over what an older catalog has learned of providers that are still there."""
        still_there = {target.identity for target in self.open_targets()}
        self._learned = {identity: names for identity, names in before._learned.items() if identity in still_there}

    def _card(self, name: str) -> ModelCard:
        return ModelCard(name, self._routes[name].deployments[0].provider.name, 0)

    def model(self, name: str, key: ClientKey | None = None) -> ModelCard:
        """One of `models`.

        Raises:
            UnknownModel: There is no such name, or none for `key`.

        """
        route = self.route(name)
        if route is None or (key is not None and not may_ask(key, name)):
            raise self.unknown(name, key)
        return ModelCard(name, route.deployments[0].provider.name, 0)

    def left_out(self, name: str) -> tuple[tuple[str, str, str], ...]:
        """Provider, upstream model and reason for each that would serve `name`, but for its configuration."""
        return tuple(self._left_out.get(name, ()))


def _first_of(provider: Provider) -> Credential:
    """Who asks a provider that serves something for its models."""
    return next(credential for credential in provider.credentials if not credential.disabled)


def identity_of(provider: Provider, credential: Credential) -> str:
    """A name for a credential that survives a new order in the file, and changes when the secret does.

    One that says who it is is known by that, and a keyless one by its label. 16 hexadecimal digits of a SHA-256: a key of full entropy cannot be guessed from it.
    """
    if credential.identity:
        return credential.identity
    secret = credential.api_key if credential.api_key is not None else f"keyless:{credential.label}"
    text = "\0".join((provider.name, provider.base_url, secret, credential.proxy_url or ""))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
