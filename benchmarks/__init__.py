"""Runnable benchmarks; see benchmarks/README.md."""
