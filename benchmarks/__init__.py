"""Side-by-side speed measurements: `make bench`, or `python -m benchmarks` with `src` on the path."""
