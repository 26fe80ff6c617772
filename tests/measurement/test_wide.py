"""Leading eigenfunctions of wide features: every number and curve as by full decomposition, within its bounds."""

import math
from dataclasses import replace

import numpy as np
import pytest

import phiscope
from phiscope.errors import EmptyDataError, InputError, MissingNumberError, NonFiniteError, ShapeError, TargetError
from phiscope.figures.paper.sheets import headline
from phiscope.findings.wide import WHOLE_SPECTRUM
from phiscope.measurement import wide
from phiscope.metrics.regime import decide_regime
from phiscope.moments.row_table import RowTable
from phiscope.spectrum.wide import Limits

ON_SAMPLES = Limits(formed_first=0, memory=0)
ROADS = {"formed": Limits(memory=0), "samples": ON_SAMPLES, "lapack": Limits()}


def leading(features, k, outputs=None, head=None, targets=None, *, weights=None, **options):
    """The k leading eigenfunctions however small p is, where `diagonalize` would take the whole spectrum."""
    parts = {"features": features, "outputs": outputs, "targets": targets, "weights": weights}
    return wide.diagonalize_leading(RowTable(parts), k, head, **options)


def data(n=900, p=160, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = rng.standard_normal((n, p)) / np.sqrt(np.arange(1, p + 1)) + 0.3 * rng.standard_normal((classes, p))[y] + 0.5
    head = rng.standard_normal((classes, p)), rng.standard_normal(classes)
    return x, head, y, rng.random(n) * (rng.random(n) < 0.9)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("n", [900, 120])
def test_every_number_and_curve_agrees_with_the_whole_decomposition(road, n):
    x, head, y, weights = data(n=n)
    m = leading(x, 12, head=head, targets=y, weights=weights, limits=ROADS[road])
    full = phiscope.diagonalize(x, head=head, targets=y, weights=weights)
    exact = road != "samples"
    for name, value in m.to_dict().items():
        assert value == pytest.approx(full[name], rel=1e-6 if exact else 2e-2, abs=1e-9), name
    assert {*m.absent, *m.numbers} >= set(full.numbers)
    assert set(WHOLE_SPECTRUM) - {"regime"} <= set(m.absent)
    assert any("estimated from random probes" in text for text in m.warnings) != exact
    for which in ("raw", "centered"):
        part, whole = getattr(m, which), getattr(full, which)
        assert (np.abs(part.eigenvalues - whole.eigenvalues[:12]) <= part.eigenvalue_bounds).all()
        for curve in ("quality", "utilization", "cumulative_quality", "cumulative_utilization"):
            assert np.abs(getattr(part, curve) - getattr(whole, curve)[:12]).max() < 1e-6, curve
        signs = np.einsum("pk,pk->k", part.eigenvectors, whole.eigenvectors[:, :12])
        assert (signs > 0.999).all()
    assert np.abs(m.class_means - full.class_means).max() < 1e-12
    assert m.provenance["solver"].startswith("LAPACK") == (road == "lapack")


@pytest.mark.parametrize("width", [1, 3])
def test_regression_and_measured_outputs(width):
    x, _, _, _ = data(p=120)
    rng = np.random.default_rng(3)
    target = x[:, :width] + 0.1 * rng.standard_normal((len(x), width))
    outputs = np.tanh(x @ rng.standard_normal((120, width)))
    head = rng.standard_normal((width, 120)), None
    m = leading(x, 10, outputs, head, target)
    full = phiscope.diagonalize(x, outputs, head, target)
    assert {"nrc1", "nrc2", "nrc3", "target_alignment", "target_alignment_whitened"} <= set(m.numbers)
    for name, value in m.to_dict().items():
        assert value == pytest.approx(full[name], rel=1e-6, abs=1e-9), name
    assert any("not head(features)" in text for text in m.warnings)
    with pytest.raises(MissingNumberError, match="needs the whole spectrum, and only the 10 leading"):
        m["readout_r2"]


def test_nrc1_needs_as_many_eigenvalues_as_targets():
    x, _, _, _ = data(p=120)
    m = leading(x, 2, targets=x[:, :4])
    assert "nrc1" not in m
    assert "leading eigenvalues" in m.absent["nrc1"]


def test_a_tiny_spread_within_far_apart_classes_keeps_its_digits():
    rng = np.random.default_rng(4)
    y = np.arange(400) % 4
    x = 10.0 * np.eye(4, 80)[y] + 1e-6 * rng.standard_normal((400, 80)) + 100.0
    m = leading(x, 4, targets=y, limits=ON_SAMPLES)
    full = phiscope.diagonalize(x, targets=y)
    assert m["nc1"] == pytest.approx(full["nc1"], rel=1e-6)
    assert m["cdnv"] == pytest.approx(full["cdnv"], rel=1e-6)


@pytest.mark.parametrize("limits", [Limits(), ON_SAMPLES])
def test_constant_features_have_one_raw_function_and_no_centered_one(limits):
    m = leading(np.full((50, 80), 0.3), 5, targets=np.arange(50) % 2, limits=limits)
    assert m.raw.eigenvalues == pytest.approx([80 * 0.09])
    assert len(m.centered.eigenvalues) == 0
    assert m["participation_ratio"] == pytest.approx(1.0)
    for name in ("participation_ratio_centered", "target_alignment"):
        with pytest.raises(MissingNumberError, match="covariance is zero"):
            m[name]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("goal", ["classes", "values"])
def test_rounding_of_a_large_mean_is_no_direction(road, goal):
    """Rows that differ in their last digit only: 55 directions, a D_LR of 0.8 and an NRC1 of 0.94 were said of them."""
    rng = np.random.default_rng(0)
    x = 1e3 * rng.standard_normal(80) * (1 + np.finfo(float).eps * rng.integers(-1, 2, (60, 80)))
    targets = rng.integers(0, 3, 60) if goal == "classes" else rng.standard_normal((60, 2))
    head = rng.standard_normal((3, 80)), None
    m = leading(x, 3, head=head, targets=targets, limits=ROADS[road])
    full = phiscope.diagonalize(x, head=head, targets=targets)
    assert len(m.centered.eigenvalues) == 0
    assert not m.centered.is_cut
    assert set(m.numbers) <= set(full.numbers)
    assert m["participation_ratio"] == pytest.approx(1)
    assert not [text for text in m.warnings if "samples for" in text]


@pytest.mark.parametrize("road", ROADS)
def test_samples_are_counted_against_the_directions_that_vary(road):
    """Warnings took p in place of the rank, also where the end of the spectrum or dead units had told it."""

    def said(features, k):
        found = leading(features, k, limits=ROADS[road]).warnings
        return [text for text in found if "samples for" in text]

    rng = np.random.default_rng(1)
    low = rng.standard_normal((100, 4)) @ rng.standard_normal((4, 150))
    assert said(low, 10) == []
    assert "30 samples for 150 features of rank 4:" in said(low[:30], 10)[0]
    assert "rank = 40" in said(low[:30], 10)[0]
    dead = np.zeros((100, 150))
    dead[:, :5] = rng.standard_normal((100, 5))
    assert said(dead, 2) == []
    few = said(dead[:40], 2)[0]
    assert "40 samples for 150 features, of which 5 vary:" in few
    assert "10 times 5 = 50 would do" in few
    assert "10 p = 1500" in said(rng.standard_normal((100, 150)), 2)[0]


@pytest.mark.parametrize("shape", [(50, 80), (80, 50)])
@pytest.mark.parametrize("road", ROADS)
def test_zero_features(shape, road):
    m = leading(np.zeros(shape), 5, limits=ROADS[road])
    assert len(m.raw.eigenvalues) == len(m.centered.eigenvalues) == 0
    assert not any("stopped" in text for text in m.warnings)


def test_a_memory_map_gives_what_the_array_gives_and_the_seed_decides(tmp_path):
    x, head, y, _ = data(p=120)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    first = leading(mapped, 8, head=head, targets=y, limits=ON_SAMPLES)
    again = leading(x.astype(np.float32), 8, head=head, targets=y, limits=ON_SAMPLES)
    assert first.to_dict() == again.to_dict()
    other = leading(mapped, 8, head=head, targets=y, limits=Limits(formed_first=0, memory=0, seed=1))
    assert other.raw.eigenvalues == pytest.approx(first.raw.eigenvalues, rel=1e-8)


def test_blocks_change_nothing(monkeypatch):
    x, head, y, weights = data(p=120)
    one = leading(x, 8, head=head, targets=y, weights=weights, limits=ON_SAMPLES)
    monkeypatch.setattr("phiscope.moments.wide.BLOCK_BYTES", 1)
    many = leading(x, 8, head=head, targets=y, weights=weights, limits=ON_SAMPLES)
    for name, value in one.to_dict().items():
        assert many[name] == pytest.approx(value, rel=1e-9), name
    monkeypatch.setattr("phiscope.moments.wide.BLOCK_BYTES", 1)
    gram = leading(x[:110], 8)
    assert "Gram" in gram.provenance["solver"]
    full = phiscope.diagonalize(x[:110])
    assert gram.raw.eigenvalues == pytest.approx(full.raw.eigenvalues[:8], rel=1e-10)


def test_diagonalize_with_k_keeps_all_numbers_where_the_whole_spectrum_is_cheap():
    x, head, y, _ = data()
    m, full = (phiscope.diagonalize(x, head=head, targets=y, k=k) for k in (9, None))
    assert m.to_dict() == full.to_dict()
    assert m.raw.eigenvectors.shape == (160, 9)
    assert np.array_equal(m.centered.cumulative_quality, full.centered.cumulative_quality[:9])
    assert m.raw.eigenvalue_bounds.max() < 1e-10
    assert full.raw.eigenvalue_bounds is None
    assert m.interval("participation_ratio") == full.interval("participation_ratio")


def test_diagonalize_with_k_takes_the_wide_road_above(monkeypatch, tmp_path):
    monkeypatch.setattr(wide, "WHOLE", 100)
    x, head, y, _ = data()
    m = phiscope.diagonalize(x, head=head, targets=y, k=9)
    assert m.provenance["solver"] == "LAPACK on the formed covariance"
    m.save(tmp_path / "m.safetensors")
    loaded = phiscope.Measurement.load(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.raw.eigenvalue_bounds, m.raw.eigenvalue_bounds)
    assert loaded.absent == m.absent
    assert m.eigenfunctions(x).shape == (900, 9)
    assert "LAPACK" not in str(m)
    with pytest.raises(MissingNumberError, match="whole spectrum"):
        m.readout_curve([0.0])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, InputError, "k is 0, expected a whole number"),
        ({"k": 2.5}, InputError, "k is 2.5"),
        ({"features": np.ones(4)}, ShapeError, "expected \\(n, p\\)"),
        ({"features": np.array([[1.0, np.nan]] * 3)}, NonFiniteError, "NaN or Inf \\(sample 0\\)"),
        ({"features": np.full((3, 2), 1e40)}, InputError, "rescale"),
        ({"weights": [1.0, 0.0, 0.0]}, EmptyDataError, "1 samples came"),
        ({"targets": np.array([0, 1, -1])}, TargetError, "from -1 to 1"),
        ({"targets": np.array([0, 1])}, ShapeError, "features have 3 samples but targets have 2"),
        ({"targets": np.array([0, 1, 5]), "num_classes": 4}, TargetError, "below 4"),
        ({"num_classes": 4}, TargetError, "without integer targets"),
        ({"outputs": np.ones((3, 2)), "head": (np.ones((3, 2)), None)}, ShapeError, "outputs have C = 2"),
        ({"head": (np.ones((3, 5)), None)}, ShapeError, "head weight"),
    ],
)
def test_bad_input_is_one_sentence(change, error, words):
    with pytest.raises(error, match=words) as caught:
        leading(**{"features": np.arange(6.0).reshape(3, 2), "k": 1, **change})
    assert "\n" not in str(caught.value)


def test_trace_held_is_the_share_of_the_kept_eigenvalues():
    x = np.diag(np.sqrt(np.arange(8.0, 0.0, -1.0)))
    m = leading(x, 3)
    assert float(m.provenance["raw_trace_held"]) == pytest.approx((8 + 7 + 6) / 36, rel=1e-5)
    assert math.isclose(m["stable_rank"], 36 / 8, rel_tol=1e-9)


@pytest.mark.parametrize("intervals", [True, False])
def test_narrow_features_gather_the_shards_that_were_asked_for(intervals):
    """Cut spectra take nothing away from numbers, nor what was wished for them."""
    features = np.random.default_rng(0).standard_normal((400, 6)) * np.arange(1, 7)
    cut, whole = (phiscope.diagonalize(features, k=k, intervals=intervals) for k in (2, None))
    assert cut.to_dict() == whole.to_dict()
    assert ("participation_ratio_corrected" in cut.to_dict()) == intervals
    if intervals:
        assert cut.interval("participation_ratio") == whole.interval("participation_ratio")


def spiked(cliff_free, n=700, p=150, noise=0.002, seed=3):
    """Ten collapsed classes, nine equal features for nine outputs; four features of nearly their strength beside."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 10, n)
    axes = np.linalg.svd(np.eye(10) - 0.1)[2][:9]
    classes = axes[:, y].T
    x = rng.standard_normal((n, p)) * noise
    x[:, :9] = classes / classes.std(axis=0)
    if cliff_free:
        x[:, 9:13] = 0.9 * rng.standard_normal((n, 4))
    head = np.zeros((10, p))
    head[:, :9] = axes.T
    return x, (head, None), y


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("cliff_free", [True, False])
@pytest.mark.parametrize("k", [1, 3, 8, 9, 10, 40])
def test_the_regime_does_not_hang_on_k(road, cliff_free, k):
    """A cut at r once put rounding in place of rho_(r+1), and every spectrum had a cliff of 1e12."""
    x, head, y = spiked(cliff_free)
    full = phiscope.diagonalize(x, head=head, targets=y)
    assert full.regime == ("intermediate" if cliff_free else "minimal")
    m = leading(x, k, head=head, targets=y, limits=ROADS[road])
    assert (m.regime, m.evidence.k90) == (full.regime, full.evidence.k90)
    assert m.evidence.cliff == pytest.approx(full.evidence.cliff, rel=1e-4)
    assert len(m.centered.eigenvalues) == min(k, 150)
    assert m.centered.is_cut
    known = m.centered.known_eigenvalues
    np.testing.assert_allclose(known, full.centered.eigenvalues[: len(known)], rtol=0.01)


def test_extended_features_are_told_from_few_eigenfunctions():
    """Outputs spread over twice as many features as they need: k90 lies behind the k that were asked for."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900, 120)) * np.geomspace(3, 0.01, 120)
    head = np.zeros((2, 120))
    head[0, :2], head[1, 2:4] = 1.0, 1.0
    full, m = phiscope.diagonalize(x, head=(head, None)), leading(x, 1, head=(head, None))
    assert (m.regime, m.evidence.k90) == (full.regime, full.evidence.k90) == ("extended", 4)


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("k", [1, 11, 12, 30])
def test_dead_units_are_no_directions_whatever_k(road, k):
    """p' is the number of features that vary; the wide road once counted all columns, so that the word hung on k."""
    rng = np.random.default_rng(0)
    x = np.pad(rng.standard_normal((600, 12)), ((0, 0), (0, 138))) + 5.0
    head, y = rng.standard_normal((10, 150)), np.arange(600) % 10
    m = leading(x, k, head=(head, None), targets=y, limits=ROADS[road])
    assert m.evidence.n_directions == phiscope.diagonalize(x, head=(head, None), targets=y).evidence.n_directions == 12
    assert m.regime is None
    assert "more than half of p' = 12" in m.absent["regime"]
    assert len(m.centered.eigenvalues) == min(k, 12)
    assert m.centered.is_cut == (k < 12)


def test_outputs_that_leading_eigenfunctions_do_not_hold_are_no_fault_of_theirs():
    """An affine head on weak features: Pihat(k) reaches 0.9 late, and the sentence said that it never does."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900, 160)) * np.geomspace(1, 0.01, 160)
    head = np.zeros((2, 160))
    head[:, -2:] = np.eye(2)
    m = leading(x, 8, head=(head, None))
    assert m.regime is None
    assert m.evidence.n_leading >= 8
    words = f"does not reach 0.9 within the {m.evidence.n_leading} leading eigenfunctions that were computed; ask for a"
    assert words in m.absent["regime"]
    assert f"k90 above {m.evidence.n_leading}" in headline(m)
    assert leading(x, 160, head=(head, None)).regime == "extended"


def test_a_cliff_behind_so_many_outputs_is_not_known(monkeypatch):
    monkeypatch.setattr(wide, "UNASKED", 5)
    x, head, y = spiked(cliff_free=True)
    few = leading(x, 8, head=head, targets=y, limits=ROADS["lapack"])
    assert (few.regime, few.evidence.cliff) == (None, None)
    assert "lies beyond the 9 leading eigenfunctions that were computed; ask for k = 10 or more" in few.absent["regime"]
    assert leading(x, 10, head=head, targets=y).regime == "intermediate"


def test_a_k_that_holds_everything_cuts_nothing():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 8)) @ rng.standard_normal((8, 90)) + 1
    y, times = np.arange(300) % 3, [0.0, 0.1, 1.0]
    full = phiscope.diagonalize(x, targets=y)
    for road in ROADS.values():
        m = leading(x, 9, targets=y, limits=road)
        assert not m.raw.is_cut
        assert not m.centered.is_cut
        assert m.readout_curve(times) == pytest.approx(full.readout_curve(times), rel=1e-5)
        assert "nothing but rounding follows" in m.absent["readout_r2"]
    assert phiscope.diagonalize(x, targets=y, k=50).readout_curve(times) == pytest.approx(full.readout_curve(times))
    assert leading(x, 7, targets=y).centered.is_cut
    # As many samples as directions, or one more.
    assert not leading(x[:5], 20).centered.is_cut


def test_weights_say_how_many_samples_count():
    x, head, y, weights = data()
    m = leading(x, 12, head=head, targets=y, weights=weights)
    full = phiscope.diagonalize(x, head=head, targets=y, weights=weights)
    assert m.independent_samples == pytest.approx(full.independent_samples)
    assert m.quality_excess() == pytest.approx(full.quality_excess()[:12], abs=1e-6)


def test_a_cut_is_stored(tmp_path):
    x, head, y = spiked(cliff_free=True)
    for m in (leading(x, 4, head=head, targets=y), phiscope.diagonalize(x, head=head, targets=y, k=4)):
        m.save(tmp_path / "m.safetensors")
        loaded = phiscope.Measurement.load(tmp_path / "m.safetensors")
        assert loaded.centered.is_cut
        assert np.array_equal(loaded.centered.following, m.centered.following)
        assert loaded.evidence == m.evidence
        assert loaded.absent == m.absent
        with pytest.raises(MissingNumberError, match="holds the 4 leading eigenfunctions"):
            loaded.readout_curve([1.0])
    x, whole = x[:, :9], phiscope.diagonalize(x[:, :9], targets=y, k=9)
    whole.save(tmp_path / "m.safetensors")
    assert not phiscope.Measurement.load(tmp_path / "m.safetensors").centered.is_cut


@pytest.mark.parametrize("k", [9, 10])
def test_a_file_from_before_is_not_believed_about_what_it_had_cut_off(tmp_path, k):
    x, head, y = spiked(cliff_free=True)
    m = leading(x, k, head=head, targets=y)
    numbers = {name: getattr(m.evidence, name) for name in ("output_rank", "n_directions", "k90", "used_variance")}
    invented = decide_regime(**numbers, dynamical_low_rank=0.1, cliff=1e12 if k == 9 else 1.08, n_leading=None)
    old = replace(
        m,
        raw=replace(m.raw, following=None),
        centered=replace(m.centered, following=None),
        evidence=replace(invented, n_leading=None),
    )
    old.save(tmp_path / "m.safetensors")
    loaded = phiscope.Measurement.load(tmp_path / "m.safetensors")
    assert loaded.centered.is_cut
    if k == 9:
        assert invented.regime == "minimal"
        assert (loaded.regime, loaded.evidence.cliff) == (None, None)
        assert loaded.absent["regime"] == loaded.evidence.sentence()
    else:
        assert loaded.regime == invented.regime == "intermediate"


def test_outputs_are_compared_with_the_head():
    x, (W, b), y, _ = data(n=120)
    outputs = x @ W.T + b
    assert not [text for text in leading(x, 3, outputs, (W, b), y).warnings if "not head(features)" in text]
    assert [text for text in leading(x, 3, outputs, (W, b + 1), y).warnings if "not head(features)" in text]


def test_what_is_withheld_is_withheld_for_its_own_reason():
    """Outputs as many as classes were of another width, and a measurement just made a stored one without shards."""
    x, head, y, _ = data(n=200)
    m = leading(x, 3, head=head, targets=y)
    assert "needs the whole spectrum" in m.absent["head_excess_loss"]
    narrow = leading(x, 3, outputs=x @ head[0][:3].T, targets=y)
    assert "same width as the targets" in narrow.absent["head_excess_loss"]
    for asked in (lambda: m.interval("used_variance"), lambda: m.curve_interval("quality")):
        with pytest.raises(MissingNumberError, match="not gathered when only leading eigenfunctions are wanted"):
            asked()
    without = phiscope.diagonalize(x, targets=y, intervals=False)
    with pytest.raises(MissingNumberError, match="none were gathered; ask for intervals=True"):
        without.interval("readout_r2")


def test_constant_features_are_not_said_to_lack_targets():
    m = phiscope.diagonalize(np.ones((50, 4)), head=(np.ones((3, 4)), None), targets=np.arange(50) % 3)
    with pytest.raises(InputError, match="features that vary"):
        m.figure("classes")
    with pytest.raises(MissingNumberError, match="or the features do not"):
        m.curve_interval("utilization")
