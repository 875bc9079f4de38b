"""Signatures in and out of their wrappers."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from dragoman.core.chat.signature import UNSIGNED, Signature, signature_from, unwrap, wrap, wrap_base64

VALUES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
SIGNATURES = st.builds(
    Signature, st.sampled_from(["claude", "openai", "gemini"]), VALUES, st.sampled_from(["", "redacted", "opus"])
)


@given(SIGNATURES)
def test_there_and_back(signature: Signature) -> None:
    assert unwrap(wrap(signature)) == signature == unwrap(wrap_base64(signature))
    assert signature_from(wrap(signature), "claude") == signature
    assert base64.b64decode(wrap_base64(signature), validate=True)
    assert (
        unwrap(wrap_base64(signature).translate({ord("+"): "-", ord("/"): "_"})) == signature
    )  # as google-genai returns it


@given(st.binary(min_size=1).map(lambda data: base64.b64encode(data).decode()))
def test_a_native_signature_is_never_taken_for_a_wrapper(value: str) -> None:
    assert signature_from(value, "gemini") == (unwrap(value) or Signature("gemini", value))
    assert unwrap(value) is None or base64.b64decode(value).startswith(b"sig1~")


def test_what_proves_nothing() -> None:
    assert signature_from(UNSIGNED, "claude") is None
    assert signature_from("", "claude") is None
    assert unwrap("c2lnMX!") is None
    assert unwrap("c2lnMX//") is None
    assert unwrap("sig1~half") is None
