"""One offline page for one run, or for several runs side by side."""

from __future__ import annotations

from phiscope.page.build import report

__all__ = ["report"]
