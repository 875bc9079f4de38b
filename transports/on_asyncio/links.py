"""Connections as links: asyncio's own protocols and transports, which keep what cannot be sent at once."""

import asyncio
import contextlib
from typing import Final, cast

# More unsent bytes than this, and whoever produces them stops reading.
HIGH_WATER: Final = 64 * 1024


class Link(asyncio.Protocol):
    """A connection.

    Attributes:
        is_backed_up: More bytes wait for the socket to take them than should.
        is_waiting: It has stopped reading, until `wake`.
        is_closed: It is gone, or going.

    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.is_backed_up = False
        self.is_closed = False
        self.is_waiting = False
        self._is_finishing = False

    @property
    def unsent(self) -> int:
        """How many bytes the socket has not taken yet."""
        return 0 if self.is_closed or self.transport is None else self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)  # of a stream; uvloop's is no subclass
        self.transport.set_write_buffer_limits(HIGH_WATER)

    def write(self, data: bytes) -> None:
        """Send, or keep what cannot be sent yet."""
        if not self.is_closed and not self._is_finishing and self.transport is not None:
            self.transport.write(data)

    def finish(self) -> None:
        """Send what is kept, then shut down writing; go on reading."""
        if self._is_finishing or self.is_closed or self.transport is None:
            return
        self._is_finishing = True
        if self.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        else:  # TLS: asyncio's says good-bye and waits for the peer's
            self.transport.close()

    def pause_reading(self) -> None:
        """Leave what comes in the socket for now."""
        if not self.is_waiting and not self.is_closed and self.transport is not None:
            self.is_waiting = True
            self.transport.pause_reading()

    def wake(self) -> None:
        """Reading is wanted again."""
        if self.is_waiting and not self.is_closed and self.transport is not None:
            self.is_waiting = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self.is_backed_up = True

    def close(self) -> None:
        """Close at once."""
        self.is_closed = True
        if self.transport is not None:
            self.transport.abort()
