"""Kernels of the network itself: the tangent kernel today, infinite and finite width to come."""
