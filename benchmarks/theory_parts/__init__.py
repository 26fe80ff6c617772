"""Part of `benchmarks/theory.py`: the walk that its most probable kernels are judged by."""
