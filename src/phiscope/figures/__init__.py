"""Figures as data: what a picture says, apart from who draws it.

Every builder here returns frozen dataclasses that a test can read. ``phiscope.report`` draws them on a
page, ``phiscope.figures.draw`` draws them for print.
"""

from __future__ import annotations

from phiscope.figures.classes import class_map, span_map, turned, turned_map, turned_values
from phiscope.figures.epochs import LogEpochs, log_epochs
from phiscope.figures.extremes import Extremes, extreme_samples
from phiscope.figures.history import Section, history_sections
from phiscope.figures.model import Axis, Figure, HeatMap, Line, Mark, Panel
from phiscope.figures.overlaps import overlap_map
from phiscope.figures.spectra import operator_figure, spectrum_of
from phiscope.figures.tracks import TrackLine, TrackPicture, track_picture
from phiscope.spectrum.clusters import degenerate_clusters

__all__ = [
    "Axis",
    "Extremes",
    "Figure",
    "HeatMap",
    "Line",
    "LogEpochs",
    "Mark",
    "Panel",
    "Section",
    "TrackLine",
    "TrackPicture",
    "class_map",
    "degenerate_clusters",
    "extreme_samples",
    "history_sections",
    "log_epochs",
    "operator_figure",
    "overlap_map",
    "span_map",
    "spectrum_of",
    "track_picture",
    "turned",
    "turned_map",
    "turned_values",
]
