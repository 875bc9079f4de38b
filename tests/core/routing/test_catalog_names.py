"""What can be asked for, and who may answer."""

from typing import Any

import attrs
import pytest

from dragoman.core.config import ClientKey, Config, Credential, Model, Provider
from dragoman.core.errors import UnknownModel
from dragoman.core.routing.catalog import Catalog, identity_of


def provider(name: str, *models: str, **more: Any) -> Provider:
    """Models as ``upstream`` or ``upstream=alias``."""
    pairs = tuple(Model(m.partition("=")[0], m.rpartition("=")[2]) for m in models)
    base = Provider(
        name, "x", "openai_chat", f"https://{name}.test/v1", credentials=(Credential("k", f"s-{name}"),), models=pairs
    )
    return attrs.evolve(base, **more)


def catalog(*providers: Provider, **more: Any) -> Catalog:
    return Catalog(attrs.evolve(Config(providers=providers), **more), "dragoman/0")


def ids(found: Catalog, key: ClientKey | None = None) -> list[str]:
    return [card.id for card in found.models(key)]


def test_prefixes() -> None:
    """Both names, or only the one with the prefix where that is asked for."""
    lab, other = provider("lab", "m", prefix="p"), provider("other", "n")
    assert ids(catalog(lab, other)) == ["m", "p/m", "n"]
    forced = catalog(lab, other, force_model_prefix=True)
    assert ids(forced) == ["p/m", "n"]
    with pytest.raises(UnknownModel, match=r"Near it: p/m"):
        forced.find("p-m")


def test_models_for_a_client_key() -> None:
    """Exactly what it can ask for; what it cannot is unknown to it, also in the hint."""
    found = catalog(provider("lab", "large", "largo"))
    key = ClientKey("", "ci", models=("largo",))
    assert ids(found, key) == ["largo"]
    assert found.model("largo", key).owned_by == "lab"
    with pytest.raises(UnknownModel, match=r"Near it: largo\."):
        found.model("large", key)
    with pytest.raises(UnknownModel, match="GET /v1/models"):
        found.model("quite another")


def test_what_is_left_out_is_said() -> None:
    """Disabled, switched off one by one, of a dialect that cannot be spoken."""
    off = (Credential("a", "a", disabled=True),)
    found = catalog(
        provider("one", "m", disabled=True), provider("two", "n", credentials=off), provider("three", "o", dialect="morse"),
        provider("four", disabled=True),
    )  # fmt: skip
    assert ids(found) == []
    for name, why in (
        ("m", "'one' would, but the provider is disabled"),
        ("n", "all its credentials are"),
        ("o", "it speaks morse"),
    ):
        with pytest.raises(UnknownModel, match=why):
            found.find(name)
    assert found.route("four/m") is None


def test_disabled_credentials_do_not_answer() -> None:
    found = catalog(provider("lab", "m", credentials=(Credential("a", "a", disabled=True), Credential("b", "b"))))
    assert [target.credential for target in found.find("m")] == ["b"]


def test_open_providers() -> None:
    """Any name behind theirs or their prefix, but for excluded ones; remembered, but not without end."""
    found = catalog(provider("lab", prefix="p", excluded_models=("*-old",)), provider("p"))
    assert [t.provider for t in found.find("p/x")] == ["lab", "p"]
    assert [t.provider for t in found.find("p/x-old")] == ["p"]
    assert [t.upstream_model for t in found.find("lab/a/b")] == ["a/b"]
    for name in ("lab/", "lab", "lab/x-old", "x"):
        with pytest.raises(UnknownModel):
            found.find(name)
    assert found.route("lab/a/b") is found.route("lab/a/b")
    for i in range(1500):
        found.find(f"lab/{i}")
    assert len(found._open_routes) == 1024
    assert found.model("lab/anything").owned_by == "lab"


def test_collisions_are_reported() -> None:
    """One name of several providers; an alias that is another model's name. A pool is none."""
    found = catalog(provider("one", "m", "x=pool", "y=pool"), provider("two", "z=m"), provider("three", "n", "o=n"))
    assert [(c.name, c.providers) for c in found.collisions] == [("m", ("one", "two")), ("n", ("three",))]
    assert "one, two" in found.collisions[0].message
    assert "alias of others (n, o)" in found.collisions[1].message
    assert [t.upstream_model for t in found.find("pool")] == ["x", "y"]


def test_identity() -> None:
    """Survives a new order and a new label, not a new secret; says nothing of it."""
    lab = provider("lab")
    one = identity_of(lab, Credential("key-1", "s3cret"))
    assert one == identity_of(lab, Credential("key-9", "s3cret", weight=5))
    assert one != identity_of(lab, Credential("key-1", "other"))
    assert one != identity_of(lab, Credential("key-1", "s3cret", "direct"))
    assert identity_of(lab, Credential("a")) != identity_of(lab, Credential("b"))
    assert "s3cret" not in one


def test_no_secret_in_repr() -> None:
    """Of targets, deployments and routes."""
    found = catalog(provider("lab", "m"))
    route = found.route("m")
    assert "s-lab" not in repr(route)
    assert "s-lab" not in repr(found.find("m"))


def test_keyless_providers_get_no_authorization() -> None:
    """And a provider's own headers go to it, credential or not."""
    keyless = catalog(provider("lab", "m", credentials=(Credential("keyless"),), headers=(("X-Cost", "1"),))).find("m")[
        0
    ]
    assert b"authorization" not in keyless.head
    assert b"x-cost: 1\r\n" in keyless.head
    assert b"authorization: Bearer s-lab\r\n" in catalog(provider("lab", "m")).find("m")[0].head
