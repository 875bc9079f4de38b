"""Errors: by fault, each with the status of its answer."""

import pytest

from dragoman.core import errors


def test_the_tree_is_the_one_that_is_drawn() -> None:
    drawn = {word for word in (errors.__doc__ or "").split() if word.isidentifier() and hasattr(errors, word)}
    found = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert found == drawn


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (errors.BadRequest, 400, "bad_request"),
        (errors.Untranslatable, 400, "unsupported_parameter"),
        (errors.AccessDenied, 401, "invalid_api_key"),
        (errors.UnknownPath, 404, "not_found"),
        (errors.UnknownModel, 404, "model_not_found"),
        (errors.TooSlow, 408, "request_timeout"),
        (errors.TooLarge, 413, "request_too_large"),
        (errors.HeadTooLarge, 431, "request_header_fields_too_large"),
    ],
)
def test_client_errors_carry_their_answer(kind: type[errors.ClientError], status: int, code: str) -> None:
    error = kind("why", param="model")
    assert (error.status, error.code, error.message, error.param, str(error)) == (status, code, "why", "model", "why")
    assert kind("why").param is None


def test_the_others_carry_what_is_to_be_done() -> None:
    wrong = errors.WrongMethod("why", allow=["GET", "HEAD"])
    assert (wrong.status, wrong.code, wrong.allow) == (405, "method_not_allowed", ("GET", "HEAD"))
    assert (errors.UpstreamError("why").status, errors.UpstreamError("why", status=504).status) == (502, 504)
    assert errors.UpstreamError("why").message == errors.NoDeployment("why").message == "why"
    assert (errors.NoDeployment("why").retry_at, errors.NoDeployment("why", retry_at=2.0).retry_at) == (None, 2.0)
    assert issubclass(errors.MisuseError, errors.DragomanError)


def test_mistakes_are_told_all_at_once() -> None:
    mistakes = [errors.Mistake(("a", 0, "b"), "no"), errors.Mistake((1, "c"), "neither"), errors.Mistake((), "nor")]
    error = errors.ConfigError(mistakes)
    assert error.mistakes == tuple(mistakes)
    assert str(error) == "a[0].b: no; [1].c: neither; config: nor"
