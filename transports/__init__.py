"""Sockets for the core.

Lives here: moving bytes, keeping deadlines, performing effects, on trio (`on_trio`), on asyncio (`on_asyncio`) and in
memory with virtual time (`on_memory`). What they share stands beside them: sockets are called when they are ready (`readiness`), hand
on and send (`links`), are opened and kept (`upstreams`), clients are begun and ended (`clients`); an event loop lends the waiting, accepts
and keeps the time.
May not live here: decisions. Imports `dragoman.core` only.
"""

if __name__ != "dragoman.transports":
    raise ImportError("import this folder as dragoman.transports")
