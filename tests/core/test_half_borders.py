"""The border of a connection, half of it empty."""

from dragoman.core.effects import ConnectFailure, FailureKind
from dragoman.core.half_borders import Clientless


def test_it_says_nothing_and_asks_nobody() -> None:
    nobody = Clientless()
    assert nobody.is_reading is False
    told = [
        nobody.client_sent(b"x", 0.0),
        nobody.served(1, None, 0.0),
        nobody.upstream_opened(1, 0.0),
        nobody.upstream_failed(1, ConnectFailure(FailureKind.REFUSED, "nobody listens"), 0.0),
        nobody.upstream_sent(1, b"x", 0.0),
        nobody.drain(0.0),
        nobody.abort(0.0),
    ]
    assert told == [[]] * 7
