"""The spectrum of a measurement as an array of pixels, which every tracker takes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from phiscope.errors import MissingDependencyError
from phiscope.measurement.record import Measurement
from phiscope.trackers.tracker import Pixels


def check_can_draw() -> None:
    """Refuse pictures where nothing can draw them; loads nothing.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", purpose="pictures for trackers", extra="figures")


def pixels_of(measurement: Measurement) -> Pixels:
    """Draw spectrum, cumulative quality and utilization, as `Measurement.figure` does, without its bands.

    Bands take longer than the measurement, and the training would wait for them.

    Matplotlib's settings belong to the process, so this is for the training's thread.

    Args:
        measurement: what to draw.

    Returns:
        Shape (height, width, 3).

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # A canvas of its own: pyplot would keep the figure, and ask which screen there is.
    canvas: Any = FigureCanvasAgg(measurement.figure(bands=False))
    canvas.draw()
    pixels: Pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    return pixels
