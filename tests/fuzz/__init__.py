"""Fuzzing of everything that reads bytes from strangers.

``python -m tests.fuzz [--seconds 60] [--seed N] [--only NAME] [--atheris]``: recorded shapes and random bytes, mutated, go into every parser and reader;
only documented exceptions may come out, in bounded time and memory. ``targets.py`` says who is fed and what each promises,
``mutation.py`` how inputs are made, ``__main__.py`` runs it all and tells what was found.
"""
