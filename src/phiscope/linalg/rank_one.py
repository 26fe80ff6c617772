"""The eigensystem of D + z z^T from a diagonal D: raw and centered spectrum share one diagonalization.

M = S + m m^T differs from the covariance by one direction. LAPACK's divide-and-conquer solver contains the routine
for this update; SciPy exposes it to compiled code, from where it is called here.

Source: Gu and Eisenstat 1994, SIAM J. Matrix Anal. Appl. 15 (stable eigenvectors); LAPACK dlaed2 (deflation), dlaed4
(one root of the secular equation).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phiscope.linalg.lapack import integer, pointer, routine
from phiscope.linalg.products import product
from phiscope.typing import FloatArray, IntArray

ROUNDING = 8 * np.finfo(np.float64).eps
"""Relative to the largest entry, changes that are rounding."""

BLOCK = 256
"""Eigenvectors formed at a time; all of them would be p x p numbers more."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Roots:
    """Roots of the secular equation, each as a distance from a pole, which keeps the digits of small differences.

    Attributes:
        poles: d, shape (K',), ascending.
        values: the roots, shape (K',), ascending.
        origins: the pole that each root lies next to.
        distances: pole minus root, shape (K',).
        vector: z for which the roots are exact; its eigenvectors are orthogonal to the last bit.
    """

    poles: FloatArray
    values: FloatArray
    origins: IntArray
    distances: FloatArray
    vector: FloatArray

    @cached_property
    def lengths(self) -> FloatArray:
        """Norm of z / (d - root) for each root, shape (K',)."""
        return np.concatenate([np.linalg.norm(self._directions(block), axis=1) for block in self.blocks()])

    def _directions(self, chosen: slice) -> FloatArray:
        """z / (d - root) for chosen roots as rows, shape (b, K')."""
        found = self.poles - self.poles[self.origins[chosen], None]
        found += self.distances[chosen, None]
        return np.asarray(np.divide(self.vector, found, out=found))

    def vectors(self, chosen: slice) -> FloatArray:
        """Chosen eigenvectors as rows, shape (b, K')."""
        found = self._directions(chosen)
        found /= self.lengths[chosen, None]
        return found

    def blocks(self) -> Iterator[slice]:
        """All roots, a block at a time."""
        for start in range(0, len(self.poles), BLOCK):
            yield slice(start, min(start + BLOCK, len(self.poles)))


@dataclass(frozen=True, kw_only=True, eq=False)
class RankOneUpdate:
    """Eigenvalues of diag(d) + z z^T, and how its eigenvectors follow from the unit vectors.

    Attributes:
        eigenvalues: shape (K,), descending.
        along: coordinates of z itself along the new eigenvectors, shape (K,), up to the signs that `apply` gives; they
            do not cancel where z is large.
        turns: pairs of coordinates that were rotated first, because their d agree, with cosine and sine.
        moved: coordinates that z changes, shape (K',), in the order of the roots.
        roots: of the secular equation of these coordinates.
        positions: place of each coordinate's eigenvector in the descending order, shape (K,).
    """

    eigenvalues: FloatArray
    along: FloatArray
    turns: list[tuple[int, int, float, float]]
    moved: IntArray
    roots: _Roots | None
    positions: IntArray

    def apply(self, coordinates: FloatArray) -> FloatArray:
        """Coordinates along the new eigenvectors of vectors given by their old ones, shape (K, j)."""
        turned = np.array(coordinates) if self.turns else coordinates
        for first, second, cosine, sine in self.turns:
            a, b = turned[first].copy(), turned[second].copy()
            turned[first], turned[second] = cosine * a + sine * b, cosine * b - sine * a
        found = np.empty(turned.shape)
        found[self.positions] = turned
        if self.roots is not None:
            gathered = turned[self.moved]
            for block in self.roots.blocks():
                found[self.positions[self.moved[block]]] = product(self.roots.vectors(block), gathered)
        return found

    def vectors(self, count: int) -> FloatArray:
        """The first `count` new eigenvectors as rows, in the old coordinates, shape (count, K)."""
        found = np.zeros((count, len(self.positions)))
        unmoved = self.positions < count
        unmoved[self.moved] = False
        found[self.positions[unmoved], np.flatnonzero(unmoved)] = 1.0
        if self.roots is not None:
            for block in self.roots.blocks():
                rows = self.positions[self.moved[block]]
                wanted = rows < count
                if wanted.any():
                    found[rows[wanted, None], self.moved] = self.roots.vectors(block)[wanted]
        for first, second, cosine, sine in reversed(self.turns):
            a, b = found[:, first].copy(), found[:, second].copy()
            found[:, first], found[:, second] = cosine * a - sine * b, sine * a + cosine * b
        return found


def update(diagonal: FloatArray, vector: FloatArray) -> RankOneUpdate:
    """Diagonalize diag(d) + z z^T.

    Args:
        diagonal: d, shape (K,), descending.
        vector: z, shape (K,).

    Returns:
        The update; eigenvalues are exact up to rounding of the largest.

    Example:
        >>> update(np.array([1.0, 0.0]), np.array([0.0, 1.0])).eigenvalues.tolist()
        [1.0, 1.0]
    """
    # LAPACK counts upwards.
    z = np.array(vector[::-1], dtype=np.float64)
    values = np.array(diagonal[::-1], dtype=np.float64)
    size = len(z)
    strength = float(z @ z)
    largest = max(float(np.abs(values).max(initial=0.0)), strength)
    tolerance = ROUNDING * largest
    turns = _turned(values, z, largest)
    moves = np.abs(z) * np.sqrt(strength) > tolerance
    moved = np.flatnonzero(moves)
    # Beside the diagonal what z adds is rounding of the largest; on it a small eigenvalue would miss it.
    values[~moves] += z[~moves] ** 2
    along, roots = z.copy(), None
    if len(moved):
        roots = _roots(values[moved], z[moved])
        values[moved] = roots.values
        # The secular equation: z . (z / (d - root)) = -1.
        along[moved] = -1 / roots.lengths
    order = np.argsort(values, kind="stable")
    rank = np.empty(size, dtype=np.int64)
    rank[order] = np.arange(size)
    last = size - 1
    return RankOneUpdate(
        eigenvalues=values[order][::-1].copy(),
        along=along[order][::-1].copy(),
        turns=[(last - first, last - second, cosine, sine) for first, second, cosine, sine in turns],
        moved=last - moved,
        roots=roots,
        positions=(last - rank)[::-1].copy(),
    )


def _turned(diagonal: FloatArray, z: FloatArray, largest: float) -> list[tuple[int, int, float, float]]:
    """Rotate z within equal entries of the diagonal until each value meets one entry of z; both change in place.

    Entries are equal where what the rotation leaves beside the diagonal is rounding for their square roots: measured
    by the largest entry, as LAPACK does, small eigenvalues would lose the digits that a singular value decomposition
    gave them.
    """
    turns, tolerance = [], ROUNDING * largest
    norm = np.sqrt(float(z @ z))
    last = -1
    for index in np.flatnonzero(np.abs(z) * norm > tolerance).tolist():
        if last >= 0:
            radius = float(np.hypot(z[last], z[index]))
            cosine, sine = z[index] / radius, z[last] / radius
            here = max(abs(diagonal[index]), abs(diagonal[last]))
            if abs((diagonal[index] - diagonal[last]) * cosine * sine) <= ROUNDING * np.sqrt(largest) * np.sqrt(here):
                # The pair shares its eigenvalue up to rounding; all of z goes to the second of the two.
                turns.append((last, index, float(cosine), float(-sine)))
                z[last], z[index] = 0.0, radius
                # Where z[index] was by far the smaller, this all but swaps the two, and their values with them.
                low, high = diagonal[last], diagonal[index]
                diagonal[last], diagonal[index] = cosine**2 * low + sine**2 * high, sine**2 * low + cosine**2 * high
        last = index
    return turns


def _roots(poles: FloatArray, z: FloatArray) -> _Roots:
    """Roots for distinct d, ascending, and no vanishing z."""
    size = len(z)
    if size <= 2:
        return _few_roots(poles, z)
    strength = float(z @ z)
    unit = z / np.sqrt(strength)
    values, origins, distances = np.empty(size), np.empty(size, dtype=np.int64), np.empty(size)
    apart, squares = np.empty(size), np.ones(size)
    index, root, status = ctypes.c_int(0), ctypes.c_double(0.0), ctypes.c_int(0)
    solve = routine("dlaed4", "int *, int *", 8)
    arguments = (
        integer(size), ctypes.byref(index), pointer(poles), pointer(unit), pointer(apart),
        ctypes.byref(ctypes.c_double(strength)), ctypes.byref(root), ctypes.byref(status),
    )  # fmt: skip
    for which in range(size):
        index.value = which + 1
        solve(*arguments)
        if status.value:
            # It gives up between poles that lie far below another (1 beside 1e27).
            root.value, apart[:] = _bisected(poles, z, which)
        origin = int(np.argmin(np.abs(apart)))
        values[which], origins[which], distances[which] = root.value, origin, apart[origin]
        # z whose roots these are: the product of all distances over that of all others between poles.
        between = poles - poles[which]
        between[which] = 1.0
        squares *= apart / between
    vector = np.copysign(np.sqrt(-squares), z)
    return _Roots(poles=poles, values=values, origins=origins, distances=distances, vector=vector)


def _bisected(poles: FloatArray, z: FloatArray, which: int) -> tuple[float, FloatArray]:
    """One root of 1 + sum z^2 / (d - x), above the pole of its number, and all poles minus it; by halving."""
    squares = z**2
    last = which == len(poles) - 1
    gap = float(squares.sum()) if last else float(poles[which + 1] - poles[which])

    def above_root(origin: int, offset: float) -> bool:
        return bool(1.0 + (squares / (poles - poles[origin] - offset)).sum() > 0)

    # Told from the pole that it lies next to; the function grows from one pole to the next.
    low_half = last or above_root(which, gap / 2)
    origin, sign = (which, 1.0) if low_half else (which + 1, -1.0)
    low, high = np.finfo(float).tiny, gap if last else gap / 2
    for step in range(160):
        # First to its order of magnitude, then to its last digit.
        middle = np.sqrt(low) * np.sqrt(high) if step < 80 else (low + high) / 2
        farther = above_root(origin, sign * middle) == low_half
        low, high = (low, middle) if farther else (middle, high)
    offset = sign * (low + high) / 2
    return float(poles[origin] + offset), poles - poles[origin] - offset


def _few_roots(poles: FloatArray, z: FloatArray) -> _Roots:
    """One or two of them, for which LAPACK's routine returns something else."""
    squares = z**2
    if len(z) == 1:
        return _Roots(
            poles=poles, values=poles + squares, origins=np.zeros(1, dtype=np.int64), distances=-squares, vector=z
        )
    gap = poles[1] - poles[0]
    # The upper root lies above its pole by t: t^2 - t (z0^2 + z1^2 - gap) - gap z1^2 = 0, without cancellation.
    half = (squares.sum() - gap) / 2
    size = np.hypot(half, np.sqrt(gap) * z[1])
    above = half + size if half > 0 else gap * squares[1] / (size - half)
    # The lower one, told from the pole that it lies next to.
    below, short = gap * squares[0] / (gap + above), gap * squares[1] / above
    near = int(below > short)
    return _Roots(
        poles=poles,
        values=np.array([poles[0] + below, poles[1] + above]),
        origins=np.array([near, 1]),
        distances=np.array([short if near else -below, -above]),
        vector=z,
    )
