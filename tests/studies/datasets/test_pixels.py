"""Pictures drawn in equal shares, and rows held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.errors import InputError
from phiscope.studies.datasets.pixels import drawn, held_out, in_equal_shares


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 99), data=st.data())
def test_every_beginning_has_the_shares_of_the_whole(counts, seed, data):
    classes = np.repeat(np.arange(len(counts)), counts)
    order = in_equal_shares(classes, seed)
    assert sorted(order.tolist()) == list(range(len(classes)))
    n = data.draw(st.integers(1, len(classes)))
    taken = np.bincount(classes[order[:n]], minlength=len(counts))
    # each class within one of its share, up to what the other classes' rounding leaves
    assert np.abs(taken - n * np.array(counts) / len(classes)).max() <= 1 + len(counts) / 2
    if n == len(classes) and len(counts) == 1 and n > 8:
        assert order.tolist() != sorted(order.tolist())


def test_equal_classes_take_turns():
    classes = np.repeat(np.arange(4), 25)
    for run in classes[in_equal_shares(classes, 0)].reshape(25, 4):
        assert sorted(run.tolist()) == [0, 1, 2, 3]


def test_held_out_rows_do_not_depend_on_the_training_size():
    classes = np.arange(50) % 5
    few, more = (held_out(classes, n_train=n, n_test=10, seed=1) for n in (10, None))
    assert few[1].tolist() == more[1].tolist()
    assert few[0].tolist() == more[0].tolist()[:10]
    assert set(more[0]) | set(more[1]) == set(range(50))
    assert not set(more[0]) & set(more[1])
    with pytest.raises(InputError, match="there are 50 pictures in all, got n_train=41 and n_test=10"):
        held_out(classes, n_train=41, n_test=10, seed=1)
    assert len(drawn(classes, None, seed=0, split="train")) == 50
