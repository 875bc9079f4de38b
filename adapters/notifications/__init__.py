"""Telling people outside: by e-mail, chat, webhook and whatever else Apprise can do.

Lives here: sending one notice (`sender`), and queues with threads of their own in front of that (`channels`), so that whoever is slow or dead
delays nobody. May not live here: when somebody is to be told (`dragoman.core.operations.alerts`).
"""
