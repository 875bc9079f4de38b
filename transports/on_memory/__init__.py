"""The third transport: a network in memory with virtual time. For tests and simulation; the same core, no sockets."""
