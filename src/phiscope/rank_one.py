"""The eigensystem of D + z z^T from a diagonal D: raw and centered spectrum share one diagonalization.

M = S + m m^T differs from the covariance by one direction. LAPACK's divide-and-conquer solver contains the routine
for this update; SciPy exposes it to compiled code, from where it is called here.

Source: Gu and Eisenstat 1994, SIAM J. Matrix Anal. Appl. 15 (stable eigenvectors); LAPACK dlaed2 (deflation), dlaed9.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from phiscope.arrays import FloatArray, IntArray
from phiscope.errors import PhiscopeError
from phiscope.lapack import integer, pointer, routine


@dataclass(frozen=True, kw_only=True, eq=False)
class RankOneUpdate:
    """Eigenvalues of diag(d) + z z^T, shape (K,), ascending, and how its eigenvectors follow from the unit vectors.

    Attributes:
        eigenvalues: shape (K,), ascending.
        turns: pairs of coordinates that were rotated first, because their d agree, with cosine and sine.
        moved: coordinates that z changes, shape (K',).
        rotation: eigenvectors within them as columns, shape (K', K').
        order: position of each eigenvector in the ascending order, shape (K,).
    """

    eigenvalues: FloatArray
    turns: list[tuple[int, int, float, float]]
    moved: IntArray
    rotation: FloatArray
    order: IntArray

    def apply(self, coordinates: FloatArray) -> FloatArray:
        """Coordinates along the new eigenvectors of vectors given by their old ones, shape (K, j)."""
        turned = np.array(coordinates)
        for first, second, cosine, sine in self.turns:
            a, b = turned[first].copy(), turned[second].copy()
            turned[first], turned[second] = cosine * a + sine * b, cosine * b - sine * a
        turned[self.moved] = self.rotation.T @ turned[self.moved]
        return np.asarray(turned[self.order])


def update(diagonal: FloatArray, vector: FloatArray) -> RankOneUpdate:
    """Diagonalize diag(d) + z z^T.

    Args:
        diagonal: d, shape (K,), ascending.
        vector: z, shape (K,).

    Returns:
        The update; eigenvalues are exact up to rounding of the largest.

    Example:
        >>> update(np.array([0.0, 1.0]), np.array([1.0, 0.0])).eigenvalues.tolist()
        [1.0, 1.0]
    """
    z = np.array(vector, dtype=np.float64)
    strength = float(z @ z)
    tolerance = 8 * np.finfo(np.float64).eps * max(float(np.abs(diagonal).max(initial=0.0)), strength)
    values = np.array(diagonal, dtype=np.float64)
    turns = _turned(values, z, tolerance)
    moved = np.flatnonzero(np.abs(z) * np.sqrt(strength) > tolerance)
    rotation = np.zeros((0, 0))
    if len(moved):
        values[moved], rotation = _secular(values[moved], z[moved])
    order = np.argsort(values, kind="stable")
    return RankOneUpdate(eigenvalues=values[order], turns=turns, moved=moved, rotation=rotation, order=order)


def _turned(diagonal: FloatArray, z: FloatArray, tolerance: float) -> list[tuple[int, int, float, float]]:
    """Rotate z within equal entries of the diagonal until each value meets one entry of z; both change in place."""
    turns = []
    norm = np.sqrt(float(z @ z))
    last = -1
    for index in np.flatnonzero(np.abs(z) * norm > tolerance).tolist():
        if last >= 0:
            radius = float(np.hypot(z[last], z[index]))
            cosine, sine = z[index] / radius, z[last] / radius
            if abs((diagonal[index] - diagonal[last]) * cosine * sine) <= tolerance:
                # The pair shares its eigenvalue up to rounding; all of z goes to the second of the two.
                turns.append((last, index, float(cosine), float(-sine)))
                z[last], z[index] = 0.0, radius
                # Where z[index] was by far the smaller, this all but swaps the two, and their values with them.
                low, high = diagonal[last], diagonal[index]
                diagonal[last], diagonal[index] = cosine**2 * low + sine**2 * high, sine**2 * low + cosine**2 * high
        last = index
    return turns


def _secular(diagonal: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, ascending, and eigenvectors of diag(d) + z z^T with distinct d and no vanishing z."""
    size = len(z)
    strength = float(z @ z)
    values, poles, unit = np.zeros(size), np.array(diagonal), z / np.sqrt(strength)
    work, vectors = np.zeros((size, size), order="F"), np.zeros((size, size), order="F")
    status = ctypes.c_int(0)
    all_of_them = integer(size)
    routine("dlaed9", "int *, int *, int *, int *", 13)(
        all_of_them, integer(1), all_of_them, all_of_them, pointer(values), pointer(work), all_of_them,
        ctypes.byref(ctypes.c_double(strength)), pointer(poles), pointer(unit), pointer(vectors), all_of_them,
        ctypes.byref(status),
    )  # fmt: skip
    if status.value:
        raise PhiscopeError(
            f"LAPACK's dlaed9 ended with status {status.value} on {size} eigenvalues; please report this"
        )
    return values, vectors
