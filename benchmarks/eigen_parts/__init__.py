"""Parts of `eigensolvers.py`: who solves, who takes turns, what is judged."""
