"""Pictures of the theory as data: what stands in which panel, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import RunError
from phiscope.figures.paper.theory_sheets import kernel_sheet, widths_sheet
from phiscope.theory import kernel_report


@pytest.fixture(scope="module")
def reports():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 1))
    x = torch.randn(8, 5)
    return [kernel_report(net, x, x[:, 0], noise=noise) for noise in (None, 0.5)]


def test_kernels_over_the_layers(reports):
    plain, with_theory = map(kernel_sheet, reports)
    assert [panel.name for panel in plain.parts] == ["rescale", "rotate", "alignment_gain"]
    for panel, name in zip(plain.parts, ("rescale", "rotate", "alignment_gain"), strict=True):
        assert [dots.label for dots in panel.dots] == ["measured"]
        assert panel.dots[0].y == tuple(getattr(layer, name) for layer in reports[0].layers)
        assert panel.x.names == ("0", "2")
    (band,) = plain.parts[1].lines
    assert (band.low[0], band.high[0]) == reports[0].layers[0].by_chance
    for panel in with_theory.parts:
        assert [dots.label for dots in panel.dots] == ["measured", "most probable"]
    assert with_theory.parts[1].dots[1].y[1] == reports[1].layers[1].expected.rotate
    for sheet in (plain, with_theory):
        assert "not a diagnosis of a network trained by SGD" in sheet.caption
        assert "P = 8 inputs" in sheet.caption
    assert "residual" in with_theory.caption
    assert "residual" not in plain.caption


def test_a_report_draws_itself(reports, tmp_path):
    figure = reports[1].figure()
    assert len(figure.axes) == 3
    assert figure.save(tmp_path / "kernels.pdf").stat().st_size > 5000


def sweep(tmp_path, **header):
    kernel = np.eye(4) + 0.1
    scalars = {
        f"{whose}_{name}": 1 / width
        for whose in ("sampled", "theory", "first")
        for name in ("rotate", "alignment_gain")
        for width in (1,)
    }
    errors = {"sampled_rotate_error": 0.01, "sampled_alignment_gain_error": 0.01}
    items = [
        (width, phiscope.diagonalize_kernel(kernel), {**{key: v / width for key, v in scalars.items()}, **errors})
        for width in (10, 20, 40)
    ]
    return phiscope.write_run(tmp_path / "sweep", items, header=header)


def test_a_sweep_over_widths(tmp_path):
    run = sweep(tmp_path, axis="width", data="these")
    assert (run.unit, [record.at for record in run.records]) == ("width", [10.0, 20.0, 40.0])
    sheet = widths_sheet(run)
    assert [panel.name for panel in sheet.parts] == ["rotate", "alignment_gain"]
    by_label = {line.label: line for line in sheet.parts[0].lines}
    assert by_label["1/N"].y == pytest.approx(by_label["most probable"].y)
    assert by_label["sampled, 95 %"].high[0] == pytest.approx(0.1 + 1.96 * 0.01)
    assert "these" in sheet.caption
    assert len(run.figure("widths").axes) == 2


def test_other_runs_have_no_such_figure(tmp_path):
    run = sweep(tmp_path)
    with pytest.raises(RunError, match="counts epochs, and this figure is of a sweep over widths"):
        run.figure("widths")


def test_a_sweep_without_its_numbers_is_refused(tmp_path):
    run = phiscope.write_run(
        tmp_path / "bare", [(10, phiscope.diagonalize_kernel(np.eye(4)))], header={"axis": "width"}
    )
    with pytest.raises(RunError, match="has no sampled_rotate at width 10"):
        run.figure("widths")
