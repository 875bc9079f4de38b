"""One notice by the real Apprise to a real socket; no secret comes out."""

import socket

import pytest

from dragoman.adapters.notifications import sender
from dragoman.adapters.notifications.sender import MISSING, Notice, check, send
from tests.adapters.notifications.webhook import SECRET, webhook

NOTICE = Notice("a title", "a body", "failure")


def test_it_arrives() -> None:
    with webhook() as hook:
        assert send(hook.url, NOTICE) == ""
        told = hook.told.get(timeout=10)
    assert (told["title"], told["message"], told["type"]) == ("a title", "a body", "failure")


def test_it_is_tried_again() -> None:
    with webhook() as hook:
        hook.statuses += [503, 500]
        assert send(hook.url, NOTICE) == ""
        assert hook.told.get(timeout=10)["title"] == "a title"


def test_nobody_there(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"json://user:{SECRET}@127.0.0.1:{port}/?retry=0"
    assert send(url, NOTICE) == "it was not accepted, or nobody is there"
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("url", ["nothing://like/that", "slack://", "mailto://", "json://"])
def test_what_apprise_cannot_read(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert check(url) == ""
    assert "cannot read its URL" in send(url, NOTICE)
    assert "".join(capfd.readouterr()) == ""


def test_what_it_can() -> None:
    assert check("json://host/x") == "JSON"
    assert check("mailto://user:pass@example.com") == "E-Mail"


def test_a_bug_of_theirs_is_told_without_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str) -> None:
        raise ValueError(url)

    monkeypatch.setattr(sender, "open_door", fail)
    assert send(f"json://{SECRET}", NOTICE) == "it failed (ValueError)"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "is_installed", lambda: False)
    assert send("json://host", NOTICE) == MISSING
