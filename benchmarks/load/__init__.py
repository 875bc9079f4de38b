"""The closed-loop load generator of the benchmarks: `lg.c`, and `lg.py` where there is no C compiler. Same arguments, same keys."""
