"""Symmetric positive operators in every form, each beside its matrix written out."""

import numpy as np

from phiscope.linalg.operators import PositiveOperator

RNG = np.random.default_rng(0)
SQUARE = RNG.standard_normal((9, 7))
MATRIX, ROWS = SQUARE.T @ SQUARE, RNG.standard_normal((3, 7))

FORMS = {
    "matrix": (PositiveOperator(matrix=MATRIX), MATRIX),
    "columns contiguous": (PositiveOperator(matrix=np.asfortranarray(MATRIX)), MATRIX),
    "part of a matrix": (PositiveOperator(matrix=np.pad(MATRIX, 2)[2:9, 2:9], scale=0.5), 0.5 * MATRIX),
    "rows": (PositiveOperator(rows=ROWS), ROWS.T @ ROWS),
    "both": (PositiveOperator(matrix=MATRIX, rows=ROWS, scale=0.25), 0.25 * MATRIX + ROWS.T @ ROWS),
    "no rows": (PositiveOperator(matrix=MATRIX, rows=ROWS[:0]), MATRIX),
}
