"""Signatures for accounts of services."""

import sys

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from dragoman.adapters.signing import sign


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    made = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.decode()


def test_a_signature_can_be_checked() -> None:
    key = rsa.generate_private_key(65537, 2048)
    signature = sign(pem(key), b"data")
    key.public_key().verify(signature, b"data", padding.PKCS1v15(), hashes.SHA256())


def test_keys_that_cannot_sign() -> None:
    other = pem(ec.generate_private_key(ec.SECP256R1()))
    for text, reason in (("", "cannot be read"), (other[:60], "cannot be read"), (other, "not an RSA key")):
        with pytest.raises(ValueError, match=reason) as caught:
            sign(text, b"data")
        assert "BEGIN" not in str(caught.value)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ValueError, match=r"pip install 'dragoman\[vertex\]'"):
        sign("x", b"data")
