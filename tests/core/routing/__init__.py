"""Tests of `dragoman.core.routing`."""
