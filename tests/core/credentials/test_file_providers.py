"""From credential files to providers."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import ChannelAlias, Config, Credential, OAuthClient, Provider
from dragoman.core.credentials.file_names import auth_index
from dragoman.core.credentials.file_providers import KIND, Named, providers_of, unrenewable, with_files
from dragoman.core.credentials.files import parse_credential_file
from dragoman.core.providers.known_models import known_models
from dragoman.core.providers.logins import LOGINS
from dragoman.core.routing.catalog import Catalog, identity_of


def file(name: str, kind: str = "claude", /, **fields: object) -> Named:
    data = {"type": kind, LOGINS[kind].fields[0]: "tok", **fields}
    credential = parse_credential_file(data).credential
    assert credential is not None
    return name, credential


def one(config: Config, *files: Named) -> Provider:
    (provider,) = providers_of(config, files)
    return provider


def names(provider: Provider) -> list[tuple[str, str]]:
    return [(model.name, model.alias) for model in provider.models]


def test_files_of_one_type_are_one_provider() -> None:
    provider = one(
        Config(),
        file("a.json", priority=2, weight=3, proxy_url="direct", request_retry=1),
        file("b.json", disabled=True),
    )
    assert (provider.name, provider.kind, provider.dialect, provider.base_url) == (
        "claude",
        KIND,
        "claude",
        "https://api.anthropic.com",
    )
    assert provider.models == known_models("claude")
    assert not provider.takes_any
    first, second = provider.credentials
    assert first == Credential(
        "a.json", "tok", proxy_url="direct", priority=2, weight=3, request_retry=1, identity=auth_index("a.json")
    )
    assert second.disabled
    assert identity_of(provider, first) == auth_index("a.json")


def test_files_that_lead_elsewhere_are_providers_of_the_same_name() -> None:
    found = providers_of(
        Config(), [file("a.json"), file("b.json", prefix="team"), file("c.json", base_url="http://h"), file("d.json", disable_cooling=True)]
    )  # fmt: skip
    assert [(p.name, p.prefix, p.base_url, p.disable_cooling) for p in found] == [
        ("claude", None, "https://api.anthropic.com", None),
        ("claude", "team", "https://api.anthropic.com", None),
        ("claude", None, "http://h", None),
        ("claude", None, "https://api.anthropic.com", True),
    ]


def test_what_only_one_has_is_its_credential_s() -> None:
    """Accounts and projects tell credentials apart, not providers."""
    provider = one(Config(), file("a.json", "gemini", project_id="p"), file("b.json", "gemini-cli", project_id="q"))
    assert (provider.name, provider.dialect, provider.takes_any) == ("gemini-cli", "code_assist", False)
    assert [credential.project for credential in provider.credentials] == ["p", "q"]
    provider = one(Config(), file("a.json", "codex", account_id="1"), file("b.json", "codex", account_id="2"))
    assert [credential.headers for credential in provider.credentials] == [
        (("chatgpt-account-id", "1"),), (("chatgpt-account-id", "2"),),
    ]  # fmt: skip


def test_the_account_of_a_service_makes_its_tokens() -> None:
    account = {"client_email": "robot@p.example", "private_key": "-----BEGIN PRIVATE KEY-----", "project_id": "p-1"}
    config = Config(oauth_clients=(OAuthClient("vertex", client_id="somebody"),))
    provider = one(config, file("a.json", "vertex", service_account=account))
    assert provider.model_root == "/v1/projects/p-1/locations/us-central1/publishers/google"
    (credential,) = provider.credentials
    assert (credential.api_key, credential.is_refreshable) == ("", True)
    assert credential.renewal is not None
    assert (credential.renewal.issuer, credential.renewal.client_id, credential.renewal.expires_at) == (
        "robot@p.example",
        "",
        0.0,
    )
    target = Catalog(with_files(config, [file("a.json", "vertex", service_account=account)]), "d").route(
        "gemini-2.5-pro"
    )
    assert target is not None
    assert target.deployments[0].targets[0].is_official


def test_where_the_configuration_sends_a_channel() -> None:
    config = Config(channel_urls=(("claude", "http://127.0.0.1:1"),))
    assert one(config, file("a.json", base_url="http://h")).base_url == "http://127.0.0.1:1"


def test_models_come_from_the_file_then_from_what_is_known() -> None:
    assert names(one(Config(), file("a.json", models=["x", {"name": "y", "alias": "z"}]))) == [("x", "x"), ("y", "z")]
    assert one(Config(), file("a.json", "groq")).takes_any
    assert not one(Config(), file("a.json", "groq", models=["x"])).takes_any


def test_an_alias_replaces_a_name_and_a_fork_stands_beside_it() -> None:
    aliases = (
        ChannelAlias("Claude", "x", "ex"),
        ChannelAlias("claude", "y", "why", fork=True),
        ChannelAlias("claude", "new", "newer"),
        ChannelAlias("codex", "x", "other"),
    )
    provider = one(Config(channel_aliases=aliases), file("a.json", models=["x", "y", {"name": "x", "alias": "mine"}]))
    assert sorted(names(provider)) == [("new", "newer"), ("x", "ex"), ("x", "mine"), ("y", "why"), ("y", "y")]


def test_aliases_are_what_can_be_asked_for() -> None:
    config = Config(channel_aliases=(ChannelAlias("claude", "claude-opus-4-6", "best"),))
    catalog = Catalog(with_files(config, [file("a.json")]), "d")
    route = catalog.route("best")
    assert route is not None
    assert route.deployments[0].upstream_model == "claude-opus-4-6"
    assert catalog.route("claude-opus-4-6") is None


def test_excluded_by_channel_and_by_file() -> None:
    config = Config(
        channel_exclusions=(("claude", ("a*",)),), channel_aliases=(ChannelAlias("claude", "c", "alias-of-c"),)
    )
    provider = one(config, file("f.json", models=["a1", "b", "c", "d"], excluded_models=["B"]))
    assert names(provider) == [("d", "d")]
    assert provider.excluded_models == ("a*", "b")
    assert not provider.disabled
    assert one(config, file("f.json", models=["a1"])).disabled
    assert one(Config(channel_exclusions=(("groq", ("*",)),)), file("f.json", "groq")).disabled
    assert not one(Config(channel_exclusions=(("groq", ("x",)),)), file("f.json", "groq")).disabled


def test_how_a_token_is_renewed() -> None:
    own = {
        "refresh_token": "r",
        "token_uri": "https://t.example/x",
        "client_id": "c",
        "client_secret": "s",
        "expired": 1795564800,
    }
    (credential,) = one(Config(), file("a.json", **own)).credentials
    renewal = credential.renewal
    assert credential.is_refreshable
    assert renewal is not None
    assert (renewal.file, renewal.token_url, renewal.refresh_token) == ("a.json", "https://t.example/x", "r")
    assert (renewal.client_id, renewal.client_secret, renewal.expires_at, renewal.lead) == (
        "c",
        "s",
        1795564800.0,
        4 * 3600.0,
    )
    assert renewal.sends_json
    config = Config(oauth_clients=(OAuthClient("claude", "https://other.example", "other"),))
    (credential,) = one(config, file("a.json", **own)).credentials
    assert credential.renewal is not None
    assert (credential.renewal.token_url, credential.renewal.client_id, credential.renewal.client_secret) == (
        "https://other.example", "other", "",
    )  # fmt: skip
    config = Config(oauth_clients=(OAuthClient("claude", "https://other.example"),))
    assert one(config, file("a.json", **own)).credentials[0].renewal == attrs.evolve(
        renewal, token_url="https://other.example"
    )
    assert "'s'" not in repr(renewal)


def test_nobody_is_asked_for_a_token_without_knowing_whom() -> None:
    kinds: list[dict[str, object]] = [{"refresh_token": "r"}, {"token_uri": "https://t.example/x"}]
    for fields in kinds:
        (credential,) = one(Config(), file("a.json", **fields)).credentials
        assert (credential.renewal, credential.is_refreshable) == (None, False)


def test_tokens_that_will_end_are_told_of_once() -> None:
    said = {"refresh_token": "r", "token_uri": "https://t.example/x", "client_id": "c"}
    account = {"client_email": "r@p.example", "private_key": "-----BEGIN PRIVATE KEY-----", "project_id": "p"}
    files = [
        file("a.json", **said), file("b.json", refresh_token="r"), file("c.json", refresh_token="r"), file("d.json", "groq"),
        file("e.json", "codex", refresh_token="r", disabled=True), file("f.json", "vertex", service_account=account),
        file("g.json", "xai", **(said | {"client_id": ""})),
    ]  # fmt: skip
    claude, xai = unrenewable(Config(), files)
    assert "'claude' files will not be renewed" in claude
    assert "'xai' files are renewed as nobody" in xai
    clients = (OAuthClient("claude", "https://t.example", "c"), OAuthClient("xai", client_id="c"))
    assert unrenewable(Config(oauth_clients=clients), files) == []


def test_beside_the_keys_of_the_configuration() -> None:
    key = Provider(
        "claude", "claude-api-key", "claude", "https://api.anthropic.com", credentials=(Credential("a.json", "k"),)
    )
    config = Config(providers=(key,))
    assert with_files(config, []) is config
    labels = [c.label for p in with_files(config, [file("a.json")]).providers for c in p.credentials]
    assert labels == ["a.json", "a.json-2"]


@given(st.lists(st.tuples(st.sampled_from(["claude", "codex", "groq"]), st.sampled_from([None, "p", "q"])), max_size=6))
def test_every_file_is_one_credential_once(kinds: list[tuple[str, str | None]]) -> None:
    files = [file(f"{i}.json", kind, prefix=prefix or "") for i, (kind, prefix) in enumerate(kinds)]
    found = providers_of(Config(), files)
    assert sorted(c.label for p in found for c in p.credentials) == sorted(name for name, _ in files)
    assert len({(p.name, p.prefix) for p in found}) == len(found)
