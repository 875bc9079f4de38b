"""Providers are found by their keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import Config, Credential, Provider
from dragoman.core.providers import PROVIDERS, Discovery, KnownProvider, discover
from dragoman.core.providers.known_models import known_models
from dragoman.core.routing.catalog import Catalog
from dragoman.core.urls import split_url


def find(**environment: str) -> Discovery:
    """Discover, with ourselves at 127.0.0.1:8317."""
    return discover(environment, host="127.0.0.1", port=8317)


@pytest.mark.parametrize("known", PROVIDERS, ids=lambda known: known.name)
def test_the_table_is_sound(known: KnownProvider) -> None:
    """Every row can be used as it is."""
    url = split_url(known.base_url)
    assert url.scheme == "https"
    assert not known.base_url.endswith("/")
    assert known.dialect in {"openai_chat", "claude", "gemini"}
    assert known.auth_header in {"bearer", "x-api-key", "x-goog-api-key"}
    for variable in known.key_variables:
        credential = Credential(variable.lower().replace("_", "-"), "k")
        expected = Provider(
            known.name, "environment", known.dialect, known.base_url, credentials=(credential,),
            models=known_models(known.name), takes_any=True,
        )  # fmt: skip
        assert find(**{variable: "k"}) == Discovery((expected,), ())


@pytest.mark.parametrize("known", PROVIDERS, ids=lambda known: known.name)
def test_keys_are_shown_as_the_table_says(known: KnownProvider) -> None:
    """The catalog goes by dialect and host, which comes to the same."""
    providers = find(**{known.key_variables[0]: "sekret"}).providers
    (target,) = Catalog(Config(providers=providers), "x").find(f"{known.name}/m")
    line = "authorization: Bearer sekret" if known.auth_header == "bearer" else f"{known.auth_header}: sekret"
    assert [text for text in target.head.decode().splitlines() if "sekret" in text] == [line]


def test_names_and_variables_are_unique() -> None:
    """One variable makes one provider."""
    for names in (
        [known.name for known in PROVIDERS],
        [variable for known in PROVIDERS for variable in (*known.key_variables, *known.url_variables)],
    ):
        assert len(names) == len(set(names))


def test_nothing_without_keys() -> None:
    """A base URL alone is nothing, nor is an empty key."""
    assert find(OPENAI_BASE_URL="http://127.0.0.1:1", ANTHROPIC_API_KEY=" ", PATH="/bin") == Discovery((), ())


def test_base_url_is_replaced() -> None:
    """By either name, without its trailing slash; the first key wins."""
    assert find(OPENAI_API_KEY=" k ", OPENAI_API_BASE="http://lab:1/v1/").providers[0].base_url == "http://lab:1/v1"
    found = find(
        GEMINI_API_KEY="a", GOOGLE_API_KEY="b", GEMINI_BASE_URL="http://one", GOOGLE_GEMINI_BASE_URL="http://two"
    )
    assert found.providers[0].base_url == "http://one"
    assert (found.providers[0].models, found.providers[0].takes_any) == ((), True)  # who knows what is behind it
    assert found.providers[0].credentials == (Credential("gemini-api-key", "a"),)


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("OPENAI_BASE_URL", "http://127.0.0.1:8317/v1", "leads to this gateway itself"),
        ("OPENAI_API_BASE", "http://localhost:8317/v1", "leads to this gateway itself"),
        ("OPENAI_BASE_URL", "http://[::1]:8317", "leads to this gateway itself"),
        ("OPENAI_BASE_URL", "http://0.0.0.0:8317", "leads to this gateway itself"),
        ("OPENAI_BASE_URL", "lab.example", "is not a usable base URL"),
        ("OPENAI_BASE_URL", "socks5://lab.example", "is not a usable base URL"),
        ("OPENAI_BASE_URL", "http://u:hunter2@lab.example", "is not a usable base URL"),
        ("OPENAI_API_KEY", "hunter2 and more", "no API key has"),
    ],
)
def test_left_out(variable: str, value: str, why: str) -> None:
    """With the reason, and without the others being hurt; a client's key is not sent anywhere."""
    found = find(**{"OPENAI_API_KEY": "hunter2", "GROQ_API_KEY": "g", variable: value})
    assert [provider.name for provider in found.providers] == ["groq"]
    assert [notice.dotted() for notice in found.notices] == [variable]
    assert why in found.notices[0].message
    assert "'openai' is left out" in found.notices[0].message
    assert "hunter2" not in repr(found)


def test_ourselves_by_name() -> None:
    """The host we listen on counts, another port does not."""
    environment = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://Gateway.example:80/v1"}
    assert discover(environment, host="gateway.EXAMPLE", port=80).providers == ()
    assert len(discover(environment, host="gateway.example", port=81).providers) == 1
    assert len(discover(environment, host="", port=80).providers) == 1


VARIABLES = st.sampled_from([v for known in PROVIDERS for v in (*known.key_variables, *known.url_variables)])


@given(st.dictionaries(VARIABLES, st.text() | st.text().map("http://".__add__), max_size=10), st.text(max_size=5))
def test_any_environment_will_do(environment: dict[str, str], host: str) -> None:
    """Nothing raises, and what comes out can be used."""
    found = discover(environment, host=host, port=80)
    for provider in found.providers:
        assert split_url(provider.base_url).scheme in ("http", "https")
