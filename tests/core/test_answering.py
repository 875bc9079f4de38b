"""One answer on its way to the client: what is written when."""

from dragoman.core.answering import Answering
from dragoman.core.config import Config
from dragoman.core.downstream import Downstream, Request
from dragoman.core.effects import Effect, WriteClient
from dragoman.core.http_heads import HeadReader


def test_an_end_without_bytes_is_not_written() -> None:
    request = Request("GET", "/", "", {}, b"", 0)
    answering = Answering(Config(), Downstream(HeadReader(), 100), request, "req-1", "openai_chat")
    effects: list[Effect] = []
    answering.begin(200, [], 0, 1.0, effects)
    answering.finish(b"", effects)
    assert effects == [
        WriteClient(b"HTTP/1.1 200 OK\r\nx-request-id: req-1\r\ncontent-length: 0\r\n\r\n"),
    ]
    assert (answering.status, answering.bytes_out, answering.first_byte_at) == (200, 0, 1.0)


def test_a_whole_answer_is_one_write() -> None:
    request = Request("GET", "/", "", {}, b"", 0)
    answering = Answering(Config(), Downstream(HeadReader(), 100), request, "req-1", "openai_chat")
    effects: list[Effect] = []
    answering.whole(200, [], b"{}", 1.0, effects)
    assert effects == [
        WriteClient(b"HTTP/1.1 200 OK\r\nx-request-id: req-1\r\ncontent-length: 2\r\n\r\n{}"),
    ]
    assert (answering.bytes_out, answering.body) == (2, b"{}")
