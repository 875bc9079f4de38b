"""The benchmarks' own tools are tested too: a wrong measure is worse than none."""
