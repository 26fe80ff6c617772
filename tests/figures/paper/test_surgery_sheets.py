"""Pictures of surgery: what they draw is what was found."""

from dataclasses import replace

import numpy as np
import pytest

import phiscope
from phiscope.figures.paper.surgery_sheets import curves_sheet, damage_sheet, scores_sheet
from phiscope.surgery import cut_curves, damage, score_units


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


def test_a_caption_speaks_of_a_dashed_line_only_where_there_is_one(scores):
    said = "The dashed line is read on samples that the readout was not made from."
    assert said in scores_sheet(scores).caption
    silent = replace(scores, held_out=np.empty((0, 2)))
    assert len(scores_sheet(silent).parts[0].lines) == 1
    assert said not in scores_sheet(silent).caption
    assert "toward the labels; S_B is the scatter between classes" in scores_sheet(scores).caption
    assert "toward the network's outputs" in scores_sheet(replace(scores, target="outputs")).caption


@pytest.mark.parametrize(("values", "measure"), [(False, "accuracy"), (True, "R²")])
def test_curves_of_values_are_called_what_they_are(values, measure):
    """R² was drawn as "accuracy", and samples were called others whether they were or not."""
    random = np.random.default_rng(0)
    x, head = random.standard_normal((300, 5)), (random.standard_normal((2, 5)), np.zeros(2))
    y = x @ head[0].T if values else np.arange(300) % 2
    curves = cut_curves(phiscope.diagonalize(x, head=head, targets=y), head, (x, y), counts=[2, 5])
    sheet = curves_sheet(curves)
    assert curves.of_values == values
    assert [panel.y.title for panel in sheet.parts] == [measure] * 2
    assert sheet.caption.startswith(f"{measure[0].upper()}{measure[1:]} on n = 300 samples with fewer units")
    assert "accuracy" not in sheet.caption.lower() or not values
    if values:
        # What a whole network explains of its own outputs.
        assert curves.whole == pytest.approx([1.0])
