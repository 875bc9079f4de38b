"""Simulated clients: each asks, waits, reads, thinks and asks again; some leave, some read slowly."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from dragoman.adapters.simulation.wire import DIALECTS, MARK, read_answer, request
from dragoman.transports.on_memory.links import End
from dragoman.transports.on_memory.network import MemoryNetwork


class Witness(Protocol):
    """Who is told what clients see."""

    def asked(self, number: int, model: str, now: float) -> None:
        """A request was sent."""
        ...

    def heard(self, number: int, at: float) -> None:
        """The first byte of its answer came; `at` is when it was sent."""
        ...

    def answered(self, number: int, status: int, body: bytes, now: float) -> None:
        """Its answer is complete."""
        ...

    def left(self, number: int, now: float) -> None:
        """The client left before that."""
        ...

    def broke(self, law: str, detail: str) -> None:
        """Something came that may not come."""
        ...


class Socket(End):
    """A client's end of one connection.

    Attributes:
        owner: Who is told of what comes; None once it does not want to know.

    """

    def __init__(self, network: MemoryNetwork, latency: float, window: int) -> None:
        super().__init__(network, latency, window)
        self.owner: SimulatedClient | None = None
        self.latency = latency
        self.is_reading = True

    @property
    def wants(self) -> bool:
        """Whether it reads."""
        return self.is_reading

    def receive(self, data: bytes) -> None:
        """Tell the owner."""
        if self.owner is not None:
            self.owner.received(data)

    def resume(self) -> None:
        """Read on."""
        self.is_reading = True
        self.wake()


class Numbers:
    """The numbers of exchanges, to a limit.

    Attributes:
        limit: Clients fall silent when it is reached.
        given: The last one.

    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.given = 0

    def take(self) -> int | None:
        """The next, or None."""
        if self.given >= self.limit:
            return None
        self.given += 1
        return self.given


class SimulatedClient:
    """One client.

    Args:
        network: Where it is.
        dial: Makes a connection to the gateway.
        dice: Its own.
        numbers: Of exchanges.
        models: What may be asked for.
        shares: Of faults, by name.
        witness: Told what it sees.
        on_bytes: Told of all that comes, for the digest.
        streams: The share of requests for a stream.
        pause: Seconds it thinks, on average.

    Attributes:
        counts: Faults by name.
        is_silent: It has nothing more to ask.

    """

    def __init__(
        self,
        network: MemoryNetwork,
        dial: Callable[[], Socket],
        dice: random.Random,
        numbers: Numbers,
        models: Sequence[str],
        shares: Mapping[str, float],
        witness: Witness,
        on_bytes: Callable[[bytes], None],
        *,
        streams: float,
        pause: float,
    ) -> None:
        self._network = network
        self._dial = dial
        self._dice = dice
        self._numbers = numbers
        self._models = models
        self._leaves = shares.get("leaves", 0.0)
        self._reads_slowly = shares.get("reads-slowly", 0.0)
        self._witness = witness
        self._on_bytes = on_bytes
        self._streams = streams
        self._pause = pause
        self._socket: Socket | None = None
        self._number = 0  # of the exchange in hand; 0 for none
        self._got = b""
        self._dialect = dice.choice(DIALECTS)
        self.counts: Counter[str] = Counter()
        self.is_silent = False

    def think(self) -> None:
        """Ask after a while."""
        self._network.after(self._dice.expovariate(1 / self._pause), self._ask)

    def close(self) -> None:
        """Close its connection."""
        if self._socket is not None:
            self._socket.owner = None
            self._socket.close()
            self._socket = None

    def _ask(self) -> None:
        number = self._numbers.take()
        if number is None:
            self.is_silent = True
            return
        dice, socket = self._dice, self._connected()
        model = self._models[int(dice.random() * len(self._models))]
        self.send(number, model, stream=dice.random() < self._streams)
        drawn = dice.random()
        if drawn < self._leaves:
            self.counts["leaves"] += 1
            self._network.after(dice.uniform(0.0, 0.6), lambda: self._leave(number))
        elif drawn < self._leaves + self._reads_slowly:
            self.counts["reads-slowly"] += 1
            socket.is_reading = False
            self._network.after(dice.uniform(0.1, 3.0), socket.resume)

    @property
    def is_waiting(self) -> bool:
        """Whether it asked and is not answered."""
        return self._number > 0

    def ask_for(self, model: str, *, stream: bool = False) -> None:
        """Ask once, at once."""
        number = self._numbers.take()
        if number is not None:
            self.send(number, model, stream=stream)

    def leave(self) -> None:
        """Leave, whatever it waits for."""
        self._leave(self._number)

    def _connected(self) -> Socket:
        if self._socket is None:
            self._socket = self._dial()
            self._socket.owner = self
        return self._socket

    def send(self, number: int, model: str, *, stream: bool) -> None:
        """Send one request."""
        self._number, self._got = number, b""
        self._witness.asked(number, model, self._network.now)
        self._connected().write(request(self._dialect, model, stream=stream).replace(MARK, b"%08d" % number))

    def _leave(self, number: int) -> None:
        if self._number == number:
            self._number = 0
            self._witness.left(number, self._network.now)
            self.close()
            self.think()

    def received(self, data: bytes) -> None:
        """Take what came."""
        self._on_bytes(data)
        number, now = self._number, self._network.now
        if not data:
            self.close()
            if number:
                self._number = 0
                self._witness.broke(
                    "one answer", f"the gateway closed before it answered {number}: {self._got[:200]!r}"
                )
                self._witness.left(number, now)
                self.think()
            return
        if not number:
            self._witness.broke("one answer", f"something came that nobody asked for: {data[:200]!r}")
            return
        if not self._got:
            assert self._socket is not None  # from where else would it come
            self._witness.heard(number, now - self._socket.latency)
        self._got += data
        try:
            found = read_answer(self._got)
        except ValueError as error:
            self._witness.broke("one answer", f"what {number} got is no answer: {error}")
            found = (0, b"", len(self._got))
        if found is None:
            return
        status, body, size = found
        if size != len(self._got):
            self._witness.broke("one answer", f"more than one answer came to {number}: {self._got[size:][:200]!r}")
        self._number, self._got = 0, b""
        self._witness.answered(number, status, body, now)
        self.think()
