"""The version of phiscope, on its own so that every module may import it."""

from __future__ import annotations

__version__ = "0.1.0"
