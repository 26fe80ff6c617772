"""The figures of single results by name: what is in them, and what is written below."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.figures.paper.sheets import measurement_sheet, restriction_sheet


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    data = (torch.randn(400, 6), torch.arange(400) % 3)
    return net, data, phiscope.measure(net, data)


def test_the_bands_are_those_of_the_measurement(parts):
    _, _, m = parts
    spectrum, quality, output = measurement_sheet(m).parts
    line = next(line for line in spectrum.lines if line.label == "centered")
    low, high = m.curve_interval("eigenvalues")
    first = m.centered.eigenvalues[0]
    assert line.low[:5] == pytest.approx(low[:5] / first)
    assert line.high[:5] == pytest.approx(high[:5] / first)
    assert all(a <= b for a, b in zip(line.low, line.high, strict=True) if a == a)
    for panel, name in ((quality, "cumulative_quality"), (output, "cumulative_utilization")):
        line = next(line for line in panel.lines if line.label == "centered")
        assert line.low == pytest.approx(m.curve_interval(name)[0], nan_ok=True)
    assert not next(line for line in spectrum.lines if line.label == "raw").low


def test_an_unknown_figure_offers_the_nearest(parts):
    with pytest.raises(UnknownNameError, match="did you mean spectrum"):
        parts[2].figure("spectrums")


def test_the_class_map_needs_something_to_hold():
    bare = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)))
    with pytest.raises(InputError, match="needs targets or outputs"):
        bare.figure("classes")
    assert measurement_sheet(bare, "why").parts[0].note.startswith("U and evenness are not known here")
    bare.figure("why").canvas.draw()


def test_a_restriction_is_drawn_as_it_is(parts):
    net, data, m = parts
    found = phiscope.restrict(m, data, net)
    accuracy, loss = restriction_sheet(found).parts
    assert accuracy.lines[0].y == pytest.approx(found.accuracy)
    assert loss.lines[0].y == pytest.approx(found.loss)
    assert accuracy.marks[0].at == found.least_k()
    found.figure().canvas.draw()
    values = phiscope.restrict(
        phiscope.measure(net, (data[0], torch.randn(400, 3))), (data[0], torch.randn(400, 3)), net
    )
    assert [part.name for part in restriction_sheet(values).parts] == ["loss"]


def test_a_cut_through_a_cluster_is_shaded_up_to_the_cut():
    x = np.random.default_rng(0).standard_normal((4000, 6)) * np.array([4.0, 2.0, 2.0, 2.0, 1.0, 0.5])
    whole, cut = (measurement_sheet(phiscope.diagonalize(x, k=k), "spectrum").parts[0].shades for k in (None, 2))
    assert whole == ((1, 4),)
    assert cut == ((1, 2),)


def test_the_level_of_the_whole_network_stands_beside_a_restriction(parts):
    net, data, m = parts
    with torch.no_grad():
        features = net[:-1](data[0])
    head = (net[-1].weight.detach(), net[-1].bias.detach())
    found = phiscope.restrict(phiscope.diagonalize(features, targets=data[1], k=2), (features, data[1]), head)
    accuracy, loss = restriction_sheet(found).parts
    assert accuracy.lines[1].y == (found.network_accuracy,) * 2
    assert loss.lines[1].y == (found.network_loss,) * 2
    assert found.network_accuracy == pytest.approx(phiscope.restrict(m, data, net).accuracy[-1])
