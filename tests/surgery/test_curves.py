"""Accuracy over units kept: equal to the networks that `remove_units` makes, joined over networks, drawn."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError
from phiscope.figures.kept import kept_sheets
from phiscope.figures.paper.surgery_sheets import curves_sheet
from phiscope.runs.groups import reach_of
from phiscope.surgery import compress_head, cut_curves, remove_units


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    x = torch.randn(600, 6)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(6, 14), nn.ReLU(), nn.Linear(14, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[:400]), y[:400]).backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        samples = (net[:2](x[400:]), y[400:])
    return net, (x[:400], y[:400]), (x[400:], y[400:]), phiscope.measure(net, (x[:400], y[:400])), samples


def made(parts, **settings):
    net, _, _, m, samples = parts
    return cut_curves(m, (net[2].weight, net[2].bias), samples, **settings)


def test_a_curve_is_the_accuracy_of_the_networks_that_are_made(parts):
    net, train, (x, y), _, _ = parts
    curves = made(
        parts, counts=[3, 8], rules=[("greedy", "labels"), ("std_magnitude", "labels"), ("greedy", "outputs")]
    )
    assert [one.label for one in curves.curves[::2]] == [
        "greedy, labels",
        "std_magnitude",
        "greedy, outputs",
        "eigenfeatures",
    ]
    for one in curves.curves[:-1]:
        for place, keep in enumerate((3, 8)):
            smaller = remove_units(net, train, keep=keep, rule=one.rule, target=one.target, compensate=one.compensated)
            with torch.no_grad():
                right = float((smaller.model(x).argmax(dim=1) == y).double().mean())
            assert one.accuracy[0, place] == pytest.approx(right, abs=1 / len(y) + 1e-9)
            assert one.change[0, place] == pytest.approx(smaller.predicted, rel=1e-6)


def test_the_leading_eigenfeatures_are_the_compressed_head(parts):
    net, _, (_, y), m, (features, _) = parts
    curve = made(parts, counts=[1, 4, 14]).curves[-1]
    for place, k in enumerate((1, 4, 14)):
        head = compress_head(m, (net[2].weight, net[2].bias), k)
        with torch.no_grad():
            right = float((head(features).argmax(dim=1) == y).double().mean())
        assert curve.accuracy[0, place] == pytest.approx(right, abs=1 / len(y) + 1e-9)
        assert curve.change[0, place] == pytest.approx(head.predicted_error, rel=1e-6, abs=1e-9)


def test_all_units_are_the_whole_network(parts):
    curves = made(parts)
    assert curves.kept[-1] == 14
    assert {one.accuracy[0, -1] for one in curves.curves} == {curves.whole[0]}


def test_values_have_a_share_of_variance():
    random = np.random.default_rng(0)
    x = random.standard_normal((300, 4))
    weight = np.array([[1.0, 2, 0, 0]])
    y = x @ weight.T
    curves = cut_curves(
        phiscope.diagonalize(x, targets=y), (weight, np.zeros(1)), (x, y), counts=[1, 2], rules=[("greedy", "labels")]
    )
    assert curves.whole[0] == pytest.approx(1)
    assert curves.curves[1].accuracy[0] == pytest.approx([0.8, 1.0], abs=0.05)


def test_networks_are_joined_and_bands_are_students(parts):
    one = made(parts, counts=[3, 8])
    other = made(parts, counts=[3, 8], seed=3)
    both = one.joined([other])
    assert both.whole.shape == (2,)
    random = both.curves[0]
    assert random.accuracy.shape == (2, 2)
    sheet = curves_sheet(both)
    assert "over 2 networks" in sheet.caption
    line = sheet.parts[0].lines[0]
    reach = reach_of(random.accuracy)
    assert reach == pytest.approx(12.706 * random.accuracy.std(axis=0, ddof=1) / 2**0.5, rel=1e-4)
    assert line.high == pytest.approx(random.accuracy.mean(axis=0) + reach)
    assert curves_sheet(one).parts[0].lines[0].low == ()
    with pytest.raises(InputError, match="make all with the same rules"):
        one.joined([made(parts, counts=[3])])


def test_a_picture_is_kept_with_a_run(parts, tmp_path):
    phiscope.write_run(tmp_path / "run", [(0, parts[3])])
    made(parts, counts=[3, 8]).keep(tmp_path / "run")
    (sheet,), problems = kept_sheets(tmp_path / "run")
    assert problems == ()
    assert sheet.headline == "Units removed by every rule"
    assert len(sheet.parts) == 2


def test_a_stored_measurement_has_no_held_out_score(parts, tmp_path):
    net, _, _, m, samples = parts
    m.save(tmp_path / "m.safetensors")
    stored = phiscope.Measurement.load(tmp_path / "m.safetensors")
    curves = cut_curves(stored, (net[2].weight, net[2].bias), samples, counts=[4])
    assert np.isnan(curves.curves[0].held_out).all()
    (warning,) = curves.joined([curves]).warnings
    assert warning.startswith("no held-out score: this needs the shards of samples")
    fresh = made(parts, counts=[4])
    assert np.isfinite(fresh.curves[0].held_out).all()
    assert fresh.warnings == ()


def test_wrong_use_is_one_sentence(parts):
    net, _, _, m, (features, y) = parts
    for counts in ([0], [15], [], [1.5]):
        with pytest.raises(InputError, match="expected numbers of units from 1 to 14"):
            made(parts, counts=counts)
    with pytest.raises(ShapeError, match=r"expected \(n, 14\)"):
        cut_curves(m, (net[2].weight, net[2].bias), (features[:, :5], y))


def test_targets_are_read_as_measure_reads_them(parts):
    """Labels (n, 1) once were compared with answers (n,)."""
    net, _, _, m, (features, y) = parts
    head, settings = (net[2].weight, net[2].bias), {"counts": [3], "rules": [("greedy", "labels")]}
    whole = cut_curves(m, head, (features, y), **settings)
    for told in (y[:, None], y.tolist(), y.numpy().astype(np.uint8)):
        found = cut_curves(m, head, (features, told), **settings)
        assert found.whole.tolist() == whole.whole.tolist()
        assert found.curves[0].accuracy.tolist() == whole.curves[0].accuracy.tolist()


def test_samples_that_cannot_be_judged_are_one_sentence(parts):
    net, _, _, m, (features, y) = parts
    head = (net[2].weight, net[2].bias)
    holed = features.clone()
    holed[7, 2] = torch.nan
    for samples, error, words in (
        ((holed, y), NonFiniteError, r"features of the samples hold NaN or Inf \(first in sample 7\)"),
        ((features, y + 7), TargetError, "run from 7 to 9"),
        ((features, y - 100), TargetError, "expected class indices from 0 to 2"),
        ((features, y.double()), ShapeError, "has 3 outputs"),
        ((features, y[:3]), ShapeError, "and 3 targets"),
        ((features[:0], y[:0]), EmptyDataError, "no sample came"),
        (features, InputError, r"expected the pair \(features, targets\)"),
    ):
        with pytest.raises(error, match=words):
            cut_curves(m, head, samples, counts=[3])
    value = phiscope.diagonalize(features, targets=features[:, 0])
    one = (net[2].weight[:1], net[2].bias[:1])
    for constant in (torch.ones(len(y)), torch.full((len(y),), 0.1)):
        with pytest.raises(TargetError, match="all the same, so no share of their variance"):
            cut_curves(value, one, (features, constant), counts=[3])
    with pytest.raises(NonFiniteError, match="targets of the samples hold NaN"):
        cut_curves(value, one, (features, torch.full((len(y),), torch.nan)), counts=[3])


def test_rules_and_counts_of_another_form_are_one_sentence(parts):
    for rules in (["greedy"], "greedy", [("greedy",)], 3):
        with pytest.raises(InputError, match=r"expected pairs of rule and target, as \[\('greedy', 'labels'\)"):
            made(parts, rules=rules, counts=[3])
    for counts in (5, [[1], [2, 3]], [True], "3"):
        with pytest.raises(InputError, match="expected numbers of units from 1 to 14"):
            made(parts, counts=counts)
    assert made(parts, counts=np.array([8, 3]), rules=[["greedy", "labels"]]).kept.tolist() == [3, 8]


def test_the_curve_of_eigenfeatures_needs_all_of_them():
    """No rule asks for the covariance here, and what is dropped was once summed over the held ones alone."""
    x = np.random.default_rng(0).standard_normal((300, 6))
    y, head = (x[:, 0] > 0).astype(int), (np.eye(2, 6), np.zeros(2))
    with pytest.raises(InputError, match="only the 3 leading eigenvalues"):
        cut_curves(phiscope.diagonalize(x, targets=y, k=3), head, (x, y), rules=[], counts=[1, 2])
