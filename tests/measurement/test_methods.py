"""What a paper has to say: every fact that decides a number is in it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import UnknownNameError
from phiscope.metrics import SCALARS


@pytest.fixture(scope="module")
def m():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    return phiscope.measure(net, (torch.randn(400, 6), torch.arange(400) % 3), rank_tolerance=1e-3)


def test_the_sentences_say_n_p_head_tolerance_correction_and_version(m):
    text = m.methods_text()
    sentences, entries = text.split("\n\n", 1)
    for fact in ("n = 400 samples", "p = 12 features", "C = 3 outputs", "3 classes", "2 (Linear)", "Sequential",
                 "0.001", "float64", "jackknife", phiscope.__version__):  # fmt: skip
        assert fact in sentences
    assert sentences.count(". ") == 1
    assert entries.count("@") == 2
    assert "v3" in entries
    assert "as it is" not in text
    assert "2410.04264" in entries
    assert entries.count("{") == entries.count("}")


def test_what_was_not_done_is_not_claimed():
    text = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), intervals=False).methods_text()
    assert "no correction for finite n was made" in text
    assert "outputs were read" not in text


def test_a_row_has_values_with_intervals_and_dashes(m):
    row = m.latex_row("a_b & c%", names=("dynamical_low_rank", "nrc1"))
    low, high = m.interval("dynamical_low_rank")
    value = m["dynamical_low_rank"]
    assert row == rf"a\_b \& c\% & 400 & 12 & ${value:.3g}$ $[{low:.3g}, {high:.3g}]$ & -- \\"
    with pytest.raises(UnknownNameError):
        m.latex_row("x", names=("nonsense",))


def test_the_header_has_a_symbol_for_every_cell_of_a_row(m):
    assert m.latex_header().count(" & ") == m.latex_row("x").count(" & ")
    every = m.latex_header(tuple(SCALARS))
    assert every.isascii()
    assert every.count("$") % 2 == 0
    assert every.count("{") == every.count("}")
    assert r"$D_{\mathrm{LR}}^{c}$" in every
    assert r"$\mathrm{sr}^{c}$" in every
    with pytest.raises(UnknownNameError):
        m.latex_header(("nonsense",))


def test_the_sentence_says_which_d_lr(m):
    text = m.methods_text()
    assert text.split("\n\n")[0].count("; products were computed in float64, and ") == 1
    assert "D_LR is that of v3 in its literal reading, from the outputs' second moment" in text
    assert (
        "U and D_LR with a superscript c are from their covariance, for classes that of differences of logits" in text
    )
    values = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), outputs=np.eye(60)[:, :2])
    assert "differences of logits" not in values.methods_text()
    assert "from their covariance" in values.methods_text()


def features(n=60, p=4):
    return np.random.default_rng(0).standard_normal((n, p))


def test_without_outputs_nothing_is_said_of_them():
    for m in (phiscope.diagonalize(features()), phiscope.diagonalize(features(), targets=np.arange(60) % 2)):
        sentences = m.methods_text().split("\n\n")[0]
        for word in ("outputs", "tolerance", "D_LR", "logits"):
            assert word not in sentences
        assert ". Products were computed in float64, and " in sentences


@pytest.mark.parametrize("n", [30, 60])
def test_a_correction_is_claimed_where_there_is_one_and_intervals_where_these_are(n, monkeypatch):
    """Two halves correct, and give no interval: what many features get by default."""
    monkeypatch.setattr("phiscope.moments.accumulator.shards_for", lambda *_: 2)
    x = features(n, 40)
    halves = phiscope.diagonalize(x, outputs=x[:, :2])
    assert not halves.estimates
    corrected = [name for name in halves.to_dict() if name.endswith("_corrected")]
    text = halves.methods_text()
    assert len(corrected) >= 3
    assert "numbers marked corrected come from a delete-a-group jackknife" in text
    assert "no correction" not in text
    assert "intervals" not in text
    both = phiscope.diagonalize(x, outputs=x[:, :2], intervals=True).methods_text()
    assert "numbers marked corrected, and 95 % intervals, come from a delete-a-group jackknife" in both


def test_weights_and_groups_are_said(m):
    x, weights = features(600), np.random.default_rng(1).uniform(0.1, 1, 600)
    weighted = phiscope.diagonalize(x, weights=weights)
    assert (
        f"weighted, which say as much as (Σw)²/Σw² = {weighted.effective_samples:.4g} equally"
        in weighted.methods_text()
    )
    assert "groups" not in weighted.methods_text()
    grouped = phiscope.diagonalize(x, groups=np.arange(600) // 10)
    assert "in 60 groups, which were kept together in shards" in grouped.methods_text()
    # Weights that are all alike weigh nothing, and neither do none.
    for plain in (phiscope.diagonalize(x, weights=np.full(600, 2.0)), grouped, m):
        assert "weighted" not in plain.methods_text()


def _sentences(measurement):
    return measurement.methods_text().partition("\n\n")[0]


def test_the_place_that_was_measured_is_named_and_no_head_where_there_is_none():
    """A layer's features were called the input of "the head", which nobody had, and whose name was left empty."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    x, y = torch.randn(60, 6), torch.arange(60) % 3
    layers = phiscope.measure_layers(net, (x, y))
    kernel = phiscope.diagonalize_kernel((x @ x.T).numpy(), targets=y.numpy())
    places = {
        "the features 1 (ReLU), output, of a Sequential on": phiscope.measure(net, (x, y), features="1"),
        "the features output (Sequential), output, of a Sequential on": phiscope.measure(
            net, (x, y), features="output"
        ),
        "the features 3 (ReLU), output, of a Sequential with a matrix (W, b) as its head on": phiscope.measure(
            net, (x, y), features="3", head=(torch.randn(3, 7), torch.zeros(3))
        ),
        f"the features {layers['1'].provenance['layer']}, of a Sequential on": layers["1"],
        "the feature map of a kernel matrix on": kernel,
        "features given as arrays on": phiscope.diagonalize(x, targets=y),
    }
    for place, measurement in places.items():
        said = _sentences(measurement)
        assert f"We diagonalized {place} n = 60 samples" in said
        assert "  " not in said


def test_arrays_are_arrays_however_they_are_read_and_a_cut_spectrum_is_said_to_be_one():
    rng = np.random.default_rng(0)
    wide = phiscope.diagonalize(rng.normal(size=(50, 2200)), targets=np.arange(50) % 3, k=4)
    narrow = phiscope.diagonalize(rng.normal(size=(50, 9)), k=4)
    for measurement in (wide, narrow):
        assert "We diagonalized features given as arrays on" in _sentences(measurement)
        assert "of the spectrum only the 4 leading eigenfunctions are given" in _sentences(measurement).lower()
    assert f"found by {wide.provenance['solver']}" in _sentences(wide)
    assert "leading" not in _sentences(phiscope.diagonalize(rng.normal(size=(50, 9))))


def test_large_numbers_of_a_row_are_set_as_powers_of_ten_and_counts_with_all_their_digits():
    """TeX sets "1.2e+04" as a product of letters and a sum, and a rank of 1,234 was 1.23e+03."""
    rng = np.random.default_rng(0)
    features, labels = 1e4 * rng.normal(size=(90, 6)), np.arange(90) % 3
    m = phiscope.diagonalize(features, targets=labels, intervals=False)
    row = m.latex_row("a", ["within_class_variance", "srank"])
    power = int(np.log10(m["within_class_variance"]))
    assert rf"\times 10^{{{power}}}$" in row
    assert "e+" not in row
    many = replace(m, numbers={**m.numbers, "srank": 1234.0})
    assert "$1234$" in many.latex_row("a", ["srank"])
