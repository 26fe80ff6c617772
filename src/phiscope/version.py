"""The version of phiscope and its day, on their own so that every module may import them."""

from __future__ import annotations

__version__ = "0.2.0"

RELEASED = "2026-11-29"
"""Day of this version, as in CITATION.cff and the changelog."""
