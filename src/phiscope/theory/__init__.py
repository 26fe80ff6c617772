"""Kernels of the network itself: the tangent kernel today; infinite and finite width to come.

::

    tangent.py  the empirical tangent kernel on a small probe, and how far parameters have moved
"""
