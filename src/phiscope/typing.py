"""The array types of every signature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
AffineHead = tuple[FloatArray, FloatArray]
"""W, shape (C, p), and b, shape (C,): a head as plain arrays; `phiscope.Head` is the layer of a network."""
