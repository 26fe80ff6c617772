"""All suites in the order of the page."""

from __future__ import annotations

from judged_parts import alignment, collapse, groups, hard, invariances, kernels, ranks, shapes

SUITES = (
    *alignment.SUITES,
    *shapes.SUITES,
    *invariances.SUITES,
    *groups.SUITES,
    *ranks.SUITES,
    *collapse.SUITES,
    *kernels.SUITES,
    *hard.SUITES,
)
BY_KEY = {suite.key: suite for suite in SUITES}
