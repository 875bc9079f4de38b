"""The embedded demo provider: deterministic answers in every dialect, with no network and no key.

A newcomer's first conversation and the tests' upstream. It is sans-IO like the core: `DemoConnection` takes bytes and gives
`WriteClient` and `CloseClient`, so any transport serves it over a real socket. `http` frames, `routes` finds the operation,
one file per dialect reads and writes it, `answers` decides what is said. Imports `core` only.
"""

from dragoman.adapters.demo_provider.http import DemoConnection, DemoProvider

__all__ = ["DemoConnection", "DemoProvider"]
