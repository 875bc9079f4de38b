"""The outside world: commands, files, the clock, the dice, logs, management, notifications.

Lives here: whatever touches the machine and is not a socket. May not live here: event loops (`transports`), decisions
(`core`). Imports both.
"""

if __name__ != "dragoman.adapters":
    raise ImportError("import this folder as dragoman.adapters")
