"""Tests of Code Assist's envelope."""
