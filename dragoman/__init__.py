"""Dragoman: one door to every model API.

The import name. The parts live in the folders beside this one: `dragoman.core` (pure), `dragoman.transports` (sockets),
`dragoman.adapters` (files, commands, the clock). Importing this package loads none of the event loops.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
