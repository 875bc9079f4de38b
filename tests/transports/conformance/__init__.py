"""What every transport does, whatever event loop it stands on: one suite, run for each by a subclass of `Conformance`.

A subclass says how to serve; the suite talks to it over real sockets, as clients and providers do. One file for each concern.
"""

from tests.transports.conformance.backpressure import Backpressure
from tests.transports.conformance.clients import Clients
from tests.transports.conformance.ending import Ending
from tests.transports.conformance.outside import Outside
from tests.transports.conformance.proxies import Proxies
from tests.transports.conformance.served import CLOCK, ServerThread, Stoppable, run_in_thread
from tests.transports.conformance.tls import TLS
from tests.transports.conformance.upstreams import Upstreams

__all__ = ["CLOCK", "Conformance", "ServerThread", "Stoppable", "run_in_thread"]


class Conformance(Clients, Upstreams, Backpressure, TLS, Proxies, Outside, Ending):
    """The suite."""
