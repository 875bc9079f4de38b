"""The scripted upstream of the benchmarks: `mock.c`, and `mock.py` where there is no C compiler. Same arguments, same bytes."""
