"""The plane of D_LR: points lie where the identity puts them."""

import math

import numpy as np
import pytest

import phiscope
from collapsed import collapsed
from phiscope.figures.why import LEVELS, place_of, why_panel
from phiscope.metrics.regime import MINIMAL_DISTANCE, RegimeEvidence


def measured(seed=0):
    random = np.random.default_rng(seed)
    features = random.standard_normal((300, 10)) * np.geomspace(3, 0.3, 10)
    return phiscope.diagonalize(features, head=(random.standard_normal((4, 10)), None), targets=np.arange(300) % 4)


@pytest.mark.parametrize("seed", range(5))
def test_a_point_lies_on_the_curve_of_its_distance(seed):
    m = measured(seed)
    used, evenness = place_of(m.evidence)
    assert 1 - used * evenness == pytest.approx(m["dynamical_low_rank_centered"], abs=1e-9)
    assert evenness**2 == pytest.approx(m["participation_ratio_centered"] / m.evidence.output_rank, rel=1e-9)


def test_collapse_stands_at_the_corner():
    used, evenness = place_of(collapsed().evidence)
    assert (used, evenness) == pytest.approx((1.0, 1.0), abs=1e-6)


def test_curves_are_hyperbolas_and_one_is_the_border():
    panel = why_panel([("", [measured().evidence], "#0072B2")])
    assert len(panel.lines) == len(LEVELS)
    for line, level in zip(panel.lines, LEVELS, strict=True):
        assert np.multiply(line.x, line.y) == pytest.approx(1 - level)
    (border,) = (line for line in panel.lines if "minimal" in line.tag)
    assert border.tag.startswith(f"D_LR = {MINIMAL_DISTANCE:g}")


def test_a_training_is_a_path_from_its_start_to_its_end():
    evidence = [measured(seed).evidence for seed in range(3)]
    panel = why_panel([("", evidence, "#0072B2")])
    path = panel.lines[0]
    assert list(zip(path.x, path.y, strict=True)) == [place_of(one) for one in evidence]
    start, end = panel.dots
    assert (start.x[0], start.y[0]) == place_of(evidence[0])
    assert (end.x[0], end.y[0]) == place_of(evidence[-1])


@pytest.mark.parametrize(
    "evidence",
    [
        RegimeEvidence(regime=None, output_rank=0),
        RegimeEvidence(regime=None, output_rank=2, used_variance=0.5),
        RegimeEvidence(regime=None, output_rank=2, used_variance=0.5, relative_dimension=0.0),
        RegimeEvidence(regime=None, output_rank=2, used_variance=0.5, relative_dimension=math.inf),
    ],
)
def test_without_outputs_there_is_no_point(evidence):
    assert place_of(evidence) is None
    assert why_panel([("", [evidence], "#0072B2")]).note
