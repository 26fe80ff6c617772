"""Costs of an intervention: by hand, with intervals that hold."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from phiscope.errors import NonFiniteError, ShapeError, TargetError
from phiscope.surgery.costs import clustering, cost_of, losses_of, paired_means, paired_proportions, right_of


def test_losses_are_torchs():
    torch.manual_seed(0)
    logits, y = torch.randn(50, 4, dtype=torch.float64), torch.randint(4, (50,))
    expected = nn.functional.cross_entropy(logits, y, reduction="none").numpy()
    assert losses_of(logits.numpy(), y.numpy()) == pytest.approx(expected)
    one, sign = torch.randn(50, 1, dtype=torch.float64), torch.randint(2, (50,))
    expected = nn.functional.binary_cross_entropy_with_logits(one[:, 0], sign.double(), reduction="none").numpy()
    assert losses_of(one.numpy(), sign.numpy()) == pytest.approx(expected)
    assert right_of(one.numpy(), sign.numpy()).tolist() == ((one[:, 0] > 0).long() == sign).double().tolist()
    values = torch.randn(50, 4, dtype=torch.float64)
    assert losses_of(logits.numpy(), values.numpy()) == pytest.approx(((logits - values) ** 2).sum(dim=1).numpy())
    assert right_of(logits.numpy(), values.numpy()) is None


def test_targets_of_every_form_are_the_same_targets():
    torch.manual_seed(0)
    logits, y = np.random.default_rng(0).standard_normal((50, 4)), np.arange(50) % 4
    for told in (y[:, None], y.astype(np.uint8), torch.from_numpy(y), y.tolist()):
        assert right_of(logits, told).tolist() == right_of(logits, y).tolist()
        assert losses_of(logits, told).tolist() == losses_of(logits, y).tolist()
    one, sign = logits[:, :1], y > 1
    assert losses_of(one, sign).tolist() == losses_of(one, sign.astype(int)).tolist()
    assert losses_of(one, one[:, 0] + 1.0) == pytest.approx(1.0)


def test_targets_that_do_not_fit_the_outputs_are_refused():
    """Labels of other classes were wrong answers or an IndexError, values of other columns numpy's ValueError."""
    logits, y = np.zeros((6, 3)), np.arange(6) % 3
    for told in (y + 5, y - 100, np.where(y == 0, -100, y)):
        for judge in (right_of, losses_of):
            with pytest.raises(TargetError, match="expected class indices from 0 to 2"):
                judge(logits, told)
    with pytest.raises(TargetError, match="expected class indices from 0 to 1"):
        right_of(logits[:, :1], y)
    for told in (y.astype(float), np.zeros((6, 2))):
        with pytest.raises(ShapeError, match=r"value\(s\) a sample and the network has 3 outputs"):
            losses_of(logits, told)
    with pytest.raises(ShapeError, match="targets have 5 rows for outputs of 6 samples"):
        right_of(logits, y[:5])
    with pytest.raises(TargetError, match=r"targets have shape \(6, 2\)"):
        right_of(logits, np.zeros((6, 2), dtype=int))
    with pytest.raises(NonFiniteError, match="targets hold NaN or Inf"):
        losses_of(logits[:, :1], np.full(6, np.nan))


def test_a_cost_is_of_the_same_samples():
    before, after, y = np.array([[2.0, 0], [0, 2]]), np.array([[0.0, 2], [0, 2]]), np.array([0, 1])
    cost = cost_of(before, after, y)
    assert (cost.right_before.tolist(), cost.right_after.tolist()) == ([1, 1], [0, 1])
    assert cost.added == pytest.approx([2, 0])
    assert cost.change == 4


def test_the_interval_of_paired_proportions_holds_the_truth_in_19_of_20_cases():
    random = np.random.default_rng(0)
    held = 0
    for _ in range(4000):
        before = (random.random(120) < 0.9).astype(float)
        after = np.where(random.random(120) < 0.12, 0.0, before)
        _, low, high = paired_proportions(before, after)
        held += low <= 0.9 * 0.12 <= high
    assert held / 4000 == pytest.approx(0.95, abs=0.015)


def test_the_interval_of_paired_means_is_the_normal_one():
    added = np.random.default_rng(0).standard_normal(400)
    value, low, high = paired_means(added)
    assert high - value == pytest.approx(1.96 * added.std(ddof=1) / 20, rel=1e-4)
    assert value - low == pytest.approx(high - value)
    assert math.isnan(paired_means(np.ones(1))[1])


def test_samples_of_one_input_count_together():
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(60), 5)
    alike, apart = np.repeat(random.standard_normal(60), 5), random.standard_normal(300)
    # Five copies of the same value: the variance of their mean is five times what 300 samples would say.
    assert clustering(alike, units) == pytest.approx(5, rel=0.03)
    assert 1 <= clustering(apart, units) < 1.5
    assert clustering(alike, None) == clustering(alike, np.arange(300)) == 1
    narrow, wide = paired_means(alike), paired_means(alike, units)
    assert wide[2] - wide[0] == pytest.approx((narrow[2] - narrow[0]) * clustering(alike, units) ** 0.5)
    once = paired_means(alike[::5])
    assert wide[2] - wide[0] == pytest.approx(once[2] - once[0], rel=1e-9)


def test_intervals_of_clustered_samples_hold_the_truth():
    random = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        goes_wrong = np.repeat(random.random(40) < 0.3, 6)
        _, low, high = paired_proportions(np.ones(240), 1 - goes_wrong.astype(float), np.repeat(np.arange(40), 6))
        held += low <= 0.3 <= high
    assert held / 600 > 0.9


def test_one_input_alone_says_nothing_of_others():
    _, low, high = paired_proportions(np.ones(4), np.zeros(4), np.zeros(4, dtype=int))
    assert (low, high) == (-1, 1)
