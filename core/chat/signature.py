r"""Signatures of reasoning: proofs that only their maker can read.

A provider signs its reasoning (Claude ``signature``, OpenAI ``encrypted_content``, Gemini ``thoughtSignature``) and wants it back
unchanged; another provider's is an error there. So a `Signature` is written only where its maker reads it, and travels through a
client of another dialect in a wrapper, ``sig1~provider~family~value``. No native signature holds a ``~`` (they are base64), so
neither is ever mistaken for the other. Gemini clients insist on base64, so for them the wrapper is base64 once more.

>>> unwrap(wrap(Signature("claude", "EqQB")))
Signature(provider='claude', value='EqQB', family='')
>>> unwrap("EqQB") is None
True
"""

import base64

import attrs

_MARK = "sig1~"
_MARK_BASE64 = "c2lnMX"  # how base64 of the mark begins, whatever follows

_TO_STANDARD = str.maketrans("-_", "+/")


@attrs.frozen
class Signature:
    """A proof of reasoning.

    Attributes:
        provider: Whose models made it and can read it: ``claude``, ``openai``, ``gemini``, ``xai`` ...; holds no ``~``.
        value: As it came.
        family: The model family it is bound to; empty when only the provider matters.

    """

    provider: str
    value: str
    family: str = ""


# Stands in the wrapper's family when the signature is reasoning encrypted as a whole (`Reasoning.redacted`).
REDACTED = "redacted"
# Reasoning without any proof, towards clients whose format demands one; recognised and left out when it comes back.
UNSIGNED = f"{_MARK}none~~"


def wrap(signature: Signature) -> str:
    """Make the text that carries a signature through a client of another dialect."""
    return f"{_MARK}{signature.provider}~{signature.family}~{signature.value}"


def unwrap(text: str) -> Signature | None:
    """Take a signature out of its wrapper; None when `text` is no wrapper (a native signature, or anything else).

    `UNSIGNED` gives a signature of the provider ``none``.
    """
    if text.startswith(_MARK_BASE64):
        try:  # google-genai reads either alphabet and sends back the one that is safe in URLs
            text = base64.b64decode(text.translate(_TO_STANDARD), validate=True).decode()
        except ValueError:
            return None
    if not text.startswith(_MARK):
        return None
    provider, found, rest = text.removeprefix(_MARK).partition("~")
    family, also, value = rest.partition("~")
    return Signature(provider, value, family) if found and also else None


def wrap_base64(signature: Signature) -> str:
    """As `wrap`, for clients that take only base64."""
    return base64.b64encode(wrap(signature).encode("utf-8", "backslashreplace")).decode()


def signature_from(text: str, native: str) -> Signature | None:
    """Read a signature that a client sends back: out of its wrapper, else as made by `native`; None when it proves nothing."""
    found = unwrap(text)
    if found is None:
        return Signature(native, text) if text else None
    return None if found.provider == "none" else found
