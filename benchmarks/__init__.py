"""Runnable benchmarks: one figure family each, fixed inputs, ratios within one run. See benchmarks/README.md.

Nothing here is imported by the gateway, and nothing leaves loopback.
"""
