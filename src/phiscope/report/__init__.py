"""One offline page for one run, or for several runs side by side."""

from phiscope.report.page import report

__all__ = ["report"]
