"""What is shown of an exchange, and to whom: of failures always, of others when asked for, of strangers never."""

import json

import pytest

from dragoman.core.config import LogFiles
from dragoman.core.evidence import KEPT, Evidence
from dragoman.core.journal import Journal
from tests.core.conversation import Conversation, chunked, config, post, provider, reply

BODY = {"model": "acme-large", "messages": []}


def talk(*, every: bool = False) -> tuple[Conversation, list[tuple[Journal, Evidence]]]:
    talk = Conversation(config(provider(), log_files=LogFiles(every_request=every)))
    shown: list[tuple[Journal, Evidence]] = []
    talk.gateway.show = lambda journal, evidence: shown.append((journal, evidence))
    return talk, shown


def test_a_failure_is_shown() -> None:
    one, shown = talk()
    one.client(post(BODY)).open().upstream(reply({"error": {"message": "no"}}, status=400))
    ((journal, evidence),) = shown
    assert one.journals == [journal]
    assert json.loads(evidence.body) == BODY
    assert json.loads(evidence.asked)["model"] == "large"
    assert evidence.asked_path == b"/v1/chat/completions"
    assert evidence.answer == one.answer()[2]
    assert (b"x-dragoman-fault", b"client") in evidence.answer_fields
    assert evidence.fields[b"host"] == b"gateway"
    assert repr(evidence).startswith("<")  # heads and bodies stay out of tracebacks


def test_what_is_well_is_shown_when_asked_for() -> None:
    for every in (False, True):
        one, shown = talk(every=every)
        one.client(post(BODY)).open().upstream(reply({"ok": 1}))
        assert [evidence.answer for _, evidence in shown] == ([one.answer()[2]] if every else [])


def test_a_stream_is_kept_when_asked_for() -> None:
    event = b'data: {"choices":[]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    for every in (False, True):
        one, shown = talk(every=every)
        one.client(post({**BODY, "stream": True})).open()
        one.upstream(head + chunked(event, event, end=False)).upstream(b"")
        ((_, evidence),) = shown  # cut
        if every:
            assert evidence.answer is not None
            assert evidence.answer.startswith(event * 2)
        else:
            assert evidence.answer is None


def test_bodies_are_cut() -> None:
    one, shown = talk(every=True)
    one.client(post({**BODY, "x": "y" * KEPT * 2})).open().upstream(reply({"z": "z" * KEPT * 2}))
    ((_, evidence),) = shown
    assert [len(evidence.body), len(evidence.asked), len(evidence.answer or b"")] == [KEPT] * 3


def test_nobody_was_asked() -> None:
    one, shown = talk()
    one.client(post({"model": "unknown", "messages": []}))
    ((_, evidence),) = shown
    assert (evidence.asked_path, evidence.asked) == (b"", b"")
    assert evidence.answer == one.answer()[2]


@pytest.mark.parametrize("data", [post(BODY, key="sk-wrong"), post(b"{"), post(BODY, path="/v1/nothing")])
def test_strangers_are_not_shown(data: bytes) -> None:
    one, shown = talk(every=True)
    one.client(data)
    assert one.answer()[0] >= 400
    assert not shown


def test_whoever_left_is_not_shown() -> None:
    one, shown = talk()
    one.client(post(BODY)).open().client(b"")
    assert len(one.journals) == 1
    assert not shown
