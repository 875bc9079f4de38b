r"""Streams without ``alt=sse``: one JSON array, whose elements come one by one.

>>> reader = ArrayReader()
>>> reader.feed(b'[{"a": "]"}\n,{"b"'), reader.feed(b': [1]}]')
([b'{"a": "]"}'], [b'{"b": [1]}'])
"""

import re

from dragoman.core.errors import BadStream
from dragoman.core.sse import MAX_EVENT

_MARKS = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')


class ArrayReader:
    """Splits a JSON array, cut anywhere, into its elements that are objects. Objects without an array around them count, too.

    Args:
        max_element: The largest element to hold, in bytes.

    """

    __slots__ = ("_at", "_depth", "_held", "_in_string", "_max")

    def __init__(self, *, max_element: int = MAX_EVENT) -> None:
        self._held = bytearray()  # from the beginning of the open element
        self._at = 0  # how far it has been looked at
        self._depth = 0  # of objects and arrays within the element
        self._in_string = False
        self._max = max_element

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece and return the elements that are complete now.

        Raises:
            BadStream: An element is larger than `max_element`.

        """
        out: list[bytes] = []
        held = self._held
        held += data
        begin = 0
        while True:
            found = (_IN_STRING if self._in_string else _MARKS).search(held, self._at)
            if found is None:
                self._at = len(held)
                break
            self._at = found.end()
            mark = found[0]
            if mark == b"\\":
                if self._at == len(held):  # what it escapes has not come yet
                    self._at -= 1
                    break
                self._at += 1
            elif mark == b'"':
                self._in_string = not self._in_string
            elif mark == b"{" or (mark == b"[" and self._depth):
                if not self._depth:
                    begin = found.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    out.append(bytes(held[begin : self._at]))
                    begin = self._at
        if not self._depth and not self._in_string:
            begin = self._at
        del held[:begin]
        self._at -= begin
        if len(held) > self._max:
            raise BadStream(f"an element of the stream is larger than {self._max} bytes")
        return out

    def close(self) -> bool:
        """Whether the stream ended between elements."""
        return not self._depth
