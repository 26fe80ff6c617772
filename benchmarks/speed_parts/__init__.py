"""The parts of `benchmarks/speed.py`: cases, contestants, the worker that times them, the page and the picture."""
