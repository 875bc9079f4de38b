"""Signatures for accounts of services; the one place that needs the library for it, which is an extra."""


def sign(private_key: str, data: bytes) -> bytes:
    """Sign with RS256 (RFC 7518, section 3.3).

    Args:
        private_key: RSA, PEM.
        data: What is signed.

    Raises:
        ValueError: The key cannot be used, or the library is missing; the message says so, without the key.

    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
    except ImportError:
        raise ValueError("signing needs a library: pip install 'dragoman[vertex]'") from None
    try:
        # The check of its primes takes longer than all else, and is the giver's business.
        key = serialization.load_pem_private_key(private_key.encode(), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("the private key in its file cannot be read") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("the private key in its file is not an RSA key")
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
