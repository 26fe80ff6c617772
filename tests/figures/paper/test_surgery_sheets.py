"""Pictures of surgery: what they draw is what was found."""

import numpy as np
import pytest

import phiscope
from phiscope.figures.paper.surgery_sheets import damage_sheet, scores_sheet
from phiscope.surgery import damage, score_units


@pytest.fixture(scope="module")
def scores():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 600)
    x = random.standard_normal((600, 8)) + 2 * random.standard_normal((3, 8))[y]
    return score_units(phiscope.diagonalize(x, targets=y))


def test_what_is_left_is_all_less_what_was_lost(scores):
    kept, loss = scores_sheet(scores).parts
    whole, others = kept.lines
    assert whole.y == pytest.approx((scores.total - scores.cumulative)[::-1])
    assert list(zip(others.x, others.y, strict=True)) == [tuple(row) for row in scores.held_out.tolist()]
    assert loss.lines[0].y == pytest.approx(scores.loss[scores.order[::-1]])
    assert "'greedy'" in scores_sheet(scores).caption


def test_damage_has_its_band_and_stands_against_the_spectrum():
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    data = (torch.randn(300, 4), torch.arange(300) % 2)
    found = damage(net, data, phiscope.measure(net, data))
    over, *against = damage_sheet(found).parts
    line = over.lines[0]
    assert np.column_stack([line.y, line.low, line.high]) == pytest.approx(found.accuracy_lost)
    assert [panel.name for panel in against] == ["eigenvalues", "utilization", "quality"]
    assert against[1].dots[0].x == pytest.approx(found.utilization)
    together = damage_sheet(damage(net, data, phiscope.measure(net, data), of="first"))
    assert len(together.parts) == 1
