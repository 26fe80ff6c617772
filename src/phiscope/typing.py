"""The array types of every signature."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


IntArray = NDArray[np.int64]


Head = tuple[FloatArray, FloatArray]
