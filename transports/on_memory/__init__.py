"""The third transport: a simulated network with virtual time, for tests and simulations; nothing in it waits or varies."""

from dragoman.transports.on_memory.network import MemoryClient, MemoryNetwork

__all__ = ["MemoryClient", "MemoryNetwork"]
