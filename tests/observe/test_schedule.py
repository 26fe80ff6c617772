"""When a record is due."""

import numpy as np
import pytest

from phiscope.errors import InputError
from phiscope.observe import schedule


@pytest.mark.parametrize(
    ("every", "due"),
    [
        ("epoch", list(range(12))),
        (1, list(range(12))),
        (5, [0, 5, 10]),
        ([0, 3, 7], [0, 3, 7]),
        ((epoch for epoch in (2, 4)), [2, 4]),
        (range(0, 12, 6), [0, 6]),
        ("log", [0, 1, 2, 3, 5, 10]),
        ([], []),
        (np.int64(5), [0, 5, 10]),
        (np.array([0, 3, 7]), [0, 3, 7]),
    ],
)
def test_due(every, due):
    plan = schedule(every)
    assert [epoch for epoch in range(12) if plan.due(epoch)] == due


def test_log_at_every_size():
    due = [epoch for epoch in range(20_001) if schedule("log").due(epoch)]
    assert due == [0, *(m * 10**e for e in range(5) for m in (1, 2, 3, 5) if m * 10**e <= 20_000)]
    assert not schedule("log").due(0.5)
    assert not schedule("log").due(1.5)


@pytest.mark.parametrize("every", ["never", 0, -1, True, 1.5, None, ["a"], b"log", [True], [0, np.nan], [np.inf]])
def test_what_is_no_schedule(every):
    with pytest.raises(InputError, match="no schedule"):
        schedule(every)
