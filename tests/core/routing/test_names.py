"""What a client's name for a model means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.config import ClientKey, Mapped
from dragoman.core.routing.names import Mappings, Suffix, may_ask, preview_twins, split_suffix
from dragoman.core.wildcards import compile_wildcards


@pytest.mark.parametrize(
    ("name", "base", "suffix"),
    [
        ("m(high)", "m", Suffix("high", level="high")), ("m( XHigh )", "m", Suffix("XHigh", level="xhigh")),
        ("m(8192)", "m", Suffix("8192", budget=8192)), ("m(none)", "m", Suffix("none", budget=0)), ("m(-1)", "m", Suffix("-1", budget=-1)),
        ("m(auto)", "m", Suffix("auto", budget=-1)), ("m(what)", "m", Suffix("what")), ("m(9999999999)", "m", Suffix("9999999999")),
        ("m(a)(low)", "m(a)", Suffix("low", level="low")), ("m", "m", None), ("m(high", "m(high", None), ("(high)", "(high)", None),
        ("m()", "m", Suffix("")),
    ],
)  # fmt: skip
def test_suffixes(name: str, base: str, suffix: Suffix | None) -> None:
    """The last parenthesis; what nobody knows is stripped and means nothing."""
    assert split_suffix(name) == (base, suffix)


@given(st.text(max_size=20))
def test_any_text_has_a_base(name: str) -> None:
    base, suffix = split_suffix(name)
    assert base or not name
    assert suffix is None or name.startswith(base + "(")


def test_mappings() -> None:
    """Exact ones first; of two the first; regular expressions for the whole name, with groups; once."""
    mappings = Mappings([
        Mapped("gpt-.*", "regex", is_regex=True), Mapped("gpt-5", "exact"), Mapped("gpt-5", "late"), Mapped("exact", "chain"),
        Mapped("claude-(.+)-latest", r"claude-\1", is_regex=True),
    ])  # fmt: skip
    names = ("gpt-5", "gpt-6", "my-gpt-6", "exact", "claude-opus-latest", "m")
    assert [mappings.apply(name) for name in names] == ["exact", "regex", "my-gpt-6", "chain", "claude-opus", "m"]


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("gpt-mini", True),
        ("GPT-mini(high)", True),
        ("lab/large", True),
        ("gpt-large", False),
        ("laboratory/x", False),
        ("gpt-x(mini)", False),
    ],
)
def test_permission(name: str, allowed: bool) -> None:
    """Names or prefixes, wildcards in both, whatever the suffix."""
    key = ClientKey("", "ci", models=("gpt-mini",), prefixes=("lab",))
    assert may_ask(key, name) == allowed
    assert may_ask(ClientKey("", "any"), name)


def test_twins() -> None:
    """Also those with a date."""
    assert preview_twins("gemini-2.5-pro-preview-05-06") == ("gemini-2.5-pro",)
    assert preview_twins("gemini-3.1-flash-lite") == ("gemini-3.1-flash-lite-preview",)


def test_wildcards() -> None:
    """None are no pattern; a dot is a dot."""
    assert compile_wildcards(()) is None
    pattern = compile_wildcards(["a.b*"])
    assert pattern is not None
    assert pattern.fullmatch("A.Bc")
    assert not pattern.fullmatch("aXbc")
