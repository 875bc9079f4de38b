"""The catalog: who may answer for a name, and whose turn it is."""

import time
from collections import Counter
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.answers import ModelCard
from dragoman.core.config import Config, Credential, Model, Provider
from dragoman.core.effects import Origin, Proxy
from dragoman.core.errors import UnknownModel
from dragoman.core.routing.catalog import Catalog, auth_fields

MODELS = (Model("up-1", "one"), Model("two", "two"))


def a_provider(name: str, *, keys: int = 1, models: tuple[Model, ...] = MODELS, **rest: Any) -> Provider:
    credentials = tuple(Credential(f"{name}-{n}", f"sk-{name}-{n}") for n in range(keys))
    return Provider(
        name,
        "openai-compatibility",
        "openai_chat",
        "https://api.acme.test/v1",
        credentials=credentials,
        models=models,
        **rest,
    )


def a_catalog(*providers: Provider, **rest: Any) -> Catalog:
    return Catalog(Config(providers=providers, **rest), "dragoman/1")


def test_a_target_is_all_that_a_request_needs() -> None:
    provider = Provider(
        "acme", "openai-compatibility", "openai_chat", "https://API.acme.test:8443/v1/", credentials=(Credential("main", "sk-1"),),
        models=MODELS, headers=(("X-Team", "ä"), ("User-Agent", "mine")),
    )  # fmt: skip
    (target,) = a_catalog(provider, proxy_url="socks5h://u:p@proxy:1", ca_file="ca.pem").find("one")
    assert (target.provider, target.credential, target.upstream_model, target.base_path) == (
        "acme",
        "main",
        "up-1",
        b"/v1",
    )
    assert target.origin == Origin("https", "api.acme.test", 8443, Proxy("socks5h", "proxy", 1, "u", "p"), "ca.pem")
    assert dict(line.split(": ") for line in target.head.decode("latin-1").splitlines()) == {
        "host": "api.acme.test:8443",
        "user-agent": "mine",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer sk-1",
        "x-team": "ä",
    }
    assert target.head.endswith(b"\r\n")
    assert "sk-1" not in repr(target)


def test_a_credential_may_have_a_proxy_of_its_own_and_no_key() -> None:
    credentials = (Credential("a", None, "direct"), Credential("b", None, "http://other:2"), Credential("c"))
    provider = Provider("acme", "x", "openai_chat", "http://h", credentials=credentials, models=MODELS)
    targets = a_catalog(provider, proxy_url="http://proxy:1").find("one")
    assert [t.origin.proxy for t in targets] == [None, Proxy("http", "other", 2), Proxy("http", "proxy", 1)]
    assert not any(b"authorization" in target.head for target in targets)


@given(keys=st.lists(st.integers(1, 3), min_size=1, max_size=3), asked=st.integers(1, 20))
def test_turns_are_fair(keys: list[int], asked: int) -> None:
    catalog = a_catalog(*(a_provider(f"p{n}", keys=count) for n, count in enumerate(keys)))
    labels = [f"p{n}-{k}" for n, count in enumerate(keys) for k in range(count)]
    first: Counter[str] = Counter()
    for turn in range(asked):
        targets = catalog.find("one")
        assert Counter(t.credential for t in targets) == Counter(labels)  # everybody is asked, once
        assert targets[0].credential == labels[turn % len(labels)]
        first[targets[0].credential] += 1
    assert max(first.values()) - min(first[label] for label in labels) <= 1
    assert catalog.find("two")[0].credential == labels[0]  # each name has turns of its own


def test_names_and_prefixes() -> None:
    catalog = a_catalog(
        a_provider("acme", prefix="ac"),
        a_provider("other", models=(Model("x", "two"),)),
        a_provider("off", disabled=True, models=(Model("y", "y"),)),
        a_provider("nobody", keys=0, models=(Model("z", "z"),)),
        a_provider("nobody-open", keys=0, models=()),
        Provider("claude", "x", "claude", "http://h", credentials=(Credential("a"),), models=(Model("c", "c"),)),
    )
    assert catalog.models() == [ModelCard(name, "acme", 0) for name in ("one", "ac/one", "two", "ac/two")] + [
        ModelCard("c", "claude", 0)
    ]
    assert [t.provider for t in catalog.find("two")] == ["acme", "other"]
    assert [t.provider for t in catalog.find("ac/two")] == ["acme"]
    assert catalog.model("ac/one") == ModelCard("ac/one", "acme", 0)
    for name in ("y", "z", "acme/one", "nobody-open/x", "", "/", "ac/"):
        with pytest.raises(UnknownModel) as unknown:
            catalog.find(name)
        assert unknown.value.param == "model"


def test_a_provider_without_a_list_takes_anything_under_its_name() -> None:
    catalog = a_catalog(a_provider("local", models=(), keys=2), a_provider("hub", models=(), prefix="h"))
    assert [(t.credential, t.upstream_model) for t in catalog.find("local/org/m")] == [
        ("local-0", "org/m"),
        ("local-1", "org/m"),
    ]
    assert [t.upstream_model for t in catalog.find("h/m")] == ["m"]
    assert [t.upstream_model for t in catalog.find("hub/m")] == ["m"]
    assert catalog.models() == []
    assert catalog.model("local/m") == ModelCard("local/m", "local", 0)
    for name in ("local", "local/", "other/m"):
        with pytest.raises(UnknownModel):
            catalog.model(name)


def test_any_model_beside_those_listed() -> None:
    """Under the name and the prefix; what is excluded stays so."""
    catalog = a_catalog(a_provider("acme", prefix="ac", takes_any=True, excluded_models=("*-mini",)))
    assert [card.id for card in catalog.models()] == ["one", "ac/one", "two", "ac/two"]
    assert (catalog.is_listed("ac/one"), catalog.is_listed("acme/one")) == (True, False)
    for name, upstream_model in (("one", "up-1"), ("ac/one", "up-1"), ("acme/one", "one"), ("ac/x/y", "x/y")):
        assert [target.upstream_model for target in catalog.find(name)] == [upstream_model]
    for name in ("new", "ac/new-mini", "acme/NEW-MINI"):
        with pytest.raises(UnknownModel):
            catalog.find(name)


def test_providers_of_one_name_share_it() -> None:
    """Entries of a section with different settings: by intent, so it is no collision."""
    first, second = a_provider("acme"), attrs.evolve(a_provider("acme", keys=2), base_url="https://b.test")
    catalog = a_catalog(first, second, a_provider("acme", models=(Model("x", "x"),), takes_any=True))
    assert catalog.collisions == ()
    assert [t.origin.host for t in catalog.find("one")] == ["api.acme.test", "b.test", "b.test"]
    assert [t.upstream_model for t in catalog.find("acme/one")] == ["one"]
    pool = a_catalog(a_provider("acme", models=(Model("big", "big"), Model("bigger", "big"))))
    assert [(c.name, c.providers) for c in pool.collisions] == [("big", ("acme",))]
    assert "alias of others (big, bigger)" in pool.collisions[0].message
    assert a_catalog(first, a_provider("other")).collisions[0].providers == ("acme", "other")


def test_who_is_left_out_is_told_why() -> None:
    """In the error, and to whoever asks."""
    spoken = attrs.evolve(a_provider("old", models=(Model("d", "d"),)), dialect="morse")
    asleep = a_provider("asleep", models=(Model("e", "e"),))
    asleep = attrs.evolve(asleep, credentials=tuple(attrs.evolve(c, disabled=True) for c in asleep.credentials))
    catalog = a_catalog(spoken, asleep)
    assert catalog.left_out("d") == (("old", "d", "it speaks morse, which cannot be spoken to providers yet"),)
    assert catalog.left_out("e") == (("asleep", "e", "all its credentials are disabled"),)
    assert catalog.left_out("f") == ()
    with pytest.raises(UnknownModel, match=r"'old' would, but it speaks morse"):
        catalog.find("d")


def test_made_up_names_do_not_fill_the_memory() -> None:
    """The last ones asked for are remembered."""
    catalog = a_catalog(a_provider("local", models=()))
    first = catalog.route("local/0")
    for n in range(2000):
        catalog.route(f"local/{n}")
        assert catalog.route("local/0") is first  # asked for again and again
    assert len(catalog._open_routes) <= 1024


@pytest.mark.parametrize(
    ("dialect", "url", "line"),
    [
        ("claude", "https://api.anthropic.com", "x-api-key: k"),
        ("claude", "https://claude.example", "authorization: Bearer k"),
        ("gemini", "https://aiplatform.googleapis.com", "x-goog-api-key: k"),
        ("gemini", "https://gemini.example", "x-goog-api-key: k"),
        ("openai_responses", "https://api.openai.com/v1", "authorization: Bearer k"),
    ],
)
def test_how_a_key_is_shown(dialect: str, url: str, line: str) -> None:
    provider = Provider("p", "x", dialect, url, credentials=(Credential("c", "k"),), model_root="/root")
    (target,) = a_catalog(provider).find("p/m")
    assert line in target.head.decode().splitlines()
    assert target.model_root == "/root"


def test_an_unknown_model_is_answered_with_what_comes_near() -> None:
    catalog = a_catalog(a_provider("acme", models=(Model("gpt-5-mini", "gpt-5-mini"),)), a_provider("local", models=()))
    with pytest.raises(UnknownModel, match=r"serves the model 'gpt-5-mni'\. Near it: gpt-5-mini\."):
        catalog.find("gpt-5-mni")
    with pytest.raises(UnknownModel, match=r"Near it: local/\.\.\.\."):
        catalog.find("local/")
    with pytest.raises(UnknownModel, match=r"'qqq'\. GET /v1/models lists"):
        catalog.find("qqq")


def test_a_very_long_name_costs_nothing() -> None:
    """Names near a name of megabytes would take minutes to find, and quoting it would fill the log."""
    catalog = a_catalog(a_provider("acme"))
    began = time.perf_counter()
    with pytest.raises(UnknownModel) as unknown:
        catalog.find("ab\n" * 2**22)
    assert time.perf_counter() - began < 0.5
    assert len(unknown.value.message) < 500
    assert "\n" not in unknown.value.message


def test_who_wants_a_header_of_its_own() -> None:
    """Anthropic itself wants its own header; who is compatible with it takes a bearer."""
    official = attrs.evolve(a_provider("c"), dialect="claude", base_url="https://api.anthropic.com")
    assert auth_fields(official, "k") == {"x-api-key": "k"}
    assert auth_fields(attrs.evolve(official, base_url="https://acme.test"), "k") == {"authorization": "Bearer k"}
    assert auth_fields(attrs.evolve(official, dialect="gemini"), "k") == {"x-goog-api-key": "k"}
    assert auth_fields(official, None) == {}
