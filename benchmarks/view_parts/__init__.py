"""Parts of `benchmarks/view.py`: runs to look at, a browser that looks, and the page that says how long it took."""
