"""Samples become sums: count, means and centered scatter, their merge, their shards."""
