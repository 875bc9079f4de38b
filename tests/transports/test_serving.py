"""Having requests answered: the default, and what an error says; the turns are in test_driver.py."""

from dragoman.core.effects import LocalRequest
from dragoman.transports.serving import ServeError, serve_nothing


def test_nobody_answers_by_default() -> None:
    answer = serve_nothing(LocalRequest("GET", "/metrics" + "x" * 1000, "", {}, b""))
    assert (answer.status, answer.code) == (404, "not_found")
    assert len(answer.error) < 300


def test_an_error_says_where_and_not_what() -> None:
    try:
        raise ValueError("sk-secret")
    except ValueError as error:
        told = str(ServeError(LocalRequest("PUT", "/a", "", {}, b""), error))
    assert told.startswith("PUT /a: ValueError at ")
    assert "tests/transports/test_serving.py:" in told
