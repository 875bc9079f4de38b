"""Hypothesis strategies shared by the tests. A new kind of value is added here first."""

import itertools
import json

from hypothesis import strategies as st


@st.composite
def cuts_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Every way a network may cut `data` into pieces; none of them empty, for an empty piece means the end."""
    at = draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=8))
    return [data[a:b] for a, b in itertools.pairwise([0, *sorted(at), len(data)]) if a < b]


def mutations_of(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Messages with a few bytes cut out, doubled, or replaced by what parsers stumble over."""
    evil = st.sampled_from([
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x01", b"\x0b", b"\x7f", b"\x85", b"\xff", b":", b",", b";", b"0", b"\r\n ",
        b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"Content-Length: 3, 3\r\n", b"Host: b\r\n", b"Connection: close\r\n",
        b"transfer-encoding : chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: Chunked\r\n", b"X: y\n",
        b"Content-Length: +3\r\n", b"Expect: 100-continue\r\n",
    ])  # fmt: skip

    @st.composite
    def mutated(draw: st.DrawFn) -> bytes:
        data = draw(messages)
        for _ in range(draw(st.integers(1, 3))):
            a = draw(st.integers(0, len(data)))
            b = min(len(data), a + draw(st.integers(0, 6)))
            data = data[:a] + draw(st.one_of(evil, st.just(b""), st.just(data[a:b] * 2))) + data[b:]
        return data

    return mutated()


tokens = st.text("!#$%&'*+-.^_`|~09azAZ", min_size=1, max_size=12).map(str.encode)
header_values = st.one_of(
    st.binary(max_size=20).map(lambda value: bytes(b for b in value if b in b"\t" or 32 <= b != 127).strip(b" \t")),
    st.sampled_from(
        [b"", b"a", b"close", b"keep-alive, Close", b"100-continue", b"100-Continue, x", b"application/json"]
    ),
)


@st.composite
def header_lines(draw: st.DrawFn) -> bytes:
    """Valid header lines, none of which frames the message but Connection and Expect; white space around values varies."""
    names = st.one_of(
        tokens.filter(lambda name: name.lower() not in {b"content-length", b"transfer-encoding", b"host", b"te"}),
        st.sampled_from(
            [b"Authorization", b"X-Api-Key", b"Connection", b"Expect", b"Date", b"Content-Type", b"Cookie"]
        ),
    )
    fields = draw(st.lists(st.tuples(names, st.sampled_from([b"", b" ", b"\t "]), header_values), max_size=5))
    return b"".join(b"%b:%b%b%b\r\n" % (name, blank, value, blank) for name, blank, value in fields)


@st.composite
def request_heads(draw: st.DrawFn) -> bytes:
    """Heads of requests that h11 takes, mostly."""
    method = draw(st.one_of(st.sampled_from([b"GET", b"POST", b"HEAD", b"post", b"CONNECT", b"OPTIONS"]), tokens))
    target = draw(st.sampled_from([b"/", b"/v1/models?key=a", b"*", b"http://h/p?q", b"a:443", b"/%41#f"]))
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0", b"0.9"]))
    host = draw(st.sampled_from([b"Host: a\r\n", b"Host: a\r\n", b"hOST:\r\n", b""]))
    framing = draw(st.sampled_from([
        b"", b"", b"Content-Length: 0\r\n", b"content-length:12\r\n", b"Content-Length: 00000000000000000000\r\n",
        b"Transfer-Encoding: chunked\r\n", b"transfer-encoding: CHUNKED\r\n", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n", b"Content-Length: 3\r\nContent-Length: 4\r\n", b"Content-Length: 3, 3\r\n",
    ]))  # fmt: skip
    return b"%b %b HTTP/%b\r\n%b%b%b\r\n" % (method, target, version, host, draw(header_lines()), framing)


@st.composite
def response_heads(draw: st.DrawFn) -> bytes:
    """Heads of answers that h11 takes, mostly; never 101, which h11 takes only if it was asked for."""
    version = draw(st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"]))
    status = draw(
        st.one_of(st.sampled_from([200, 204, 304, 100, 103, 429, 500]), st.integers(0, 999).filter(lambda n: n != 101))
    )
    reason = draw(st.sampled_from([b"", b" ", b" OK", b" \xc3\xa4 b"]))
    framing = draw(st.sampled_from([
        b"", b"Content-Length: 0\r\n", b"content-length:12\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 3, 3\r\n",
    ]))  # fmt: skip
    return b"HTTP/%b %03d%b\r\n%b%b\r\n" % (version, status, reason, draw(header_lines()), framing)


json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12),
        st.sampled_from(['"model": "x"', '{"model":"x"}', "model", "usage", "\\", '\\"', "[DONE]"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=6), st.sampled_from(["model", "usage", "stream_options"])), inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@st.composite
def json_texts(draw: st.DrawFn, value: object) -> bytes:
    """`value` as somebody might write it: separators, indent, escapes, keys spelled in escapes."""
    text = json.dumps(
        value,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, None, 0, 1, "\t"])),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : ")])),
    )
    if draw(st.booleans()):
        text = text.replace('"model"', '"mod\\u0065l"')
    return (draw(st.sampled_from(["", " ", "\n\t"])) + text + draw(st.sampled_from(["", "\r\n"]))).encode(
        "utf-8", "surrogatepass"
    )
