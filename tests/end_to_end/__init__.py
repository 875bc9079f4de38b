"""The whole gateway: real processes, real sockets, real clients."""
