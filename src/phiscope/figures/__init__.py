"""Figures as data; of `paper/`, `draw.py` and `drawing.py` alone know matplotlib.

::

    model.py     the parts of a figure, as frozen data
    palette.py   colors that stay apart for color-blind readers and in gray print
    spectra.py   the picture of the method: spectrum, cumulative quality and utilization
    classes.py   which class lives on which eigenfunction, as diagonalized and rotated toward classes
    overlaps.py  which eigenfunctions of one feature map live on in another
    depth.py     where in a network features become minimal
    seeds.py     runs that differ by their seed alone, as one line
    contrast.py  runs side by side as a table: settings, last numbers, differences
    history.py   every scalar over the epochs of one or several runs
    epochs.py    a logarithmic axis for epochs, with a place for epoch 0
    extremes.py  the samples on which an eigenfunction is largest and smallest, and samples as pictures
    tracks.py    which eigenfunction of the last record was which before
    kept.py      pictures kept with a run, in small files
    why.py       why D_LR is what it is: the plane of used variance and evenness
    paper/       figures for print and notebooks, by name

Builders return frozen dataclasses that a test can read. ``phiscope.page`` draws them on a page, ``paper`` for print.
"""

from __future__ import annotations

from phiscope.figures.classes import class_map, span_map, turned, turned_map, turned_values
from phiscope.figures.epochs import LogEpochs, log_epochs
from phiscope.figures.extremes import Extremes, as_images, extreme_samples
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
    "as_images",
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
