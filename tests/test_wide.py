"""Leading eigenfunctions of wide features: closed forms, twins by full decomposition, bounds that hold."""

import math
import re

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import phiscope
from phiscope.errors import EmptyDataError, InputError, MissingNumberError, NonFiniteError, ShapeError, TargetError
from phiscope.findings.wide import WHOLE_SPECTRUM
from phiscope.linalg.krylov import lead
from phiscope.measurement import wide
from phiscope.measurement.wide import diagonalize_leading
from phiscope.spectrum import wide as solvers
from phiscope.spectrum.wide import Limits
from waiting import longest_wait

EPS = np.finfo(np.float64).eps
ON_SAMPLES = Limits(formed_first=0, memory=0)
ROADS = {"formed": Limits(memory=0), "samples": ON_SAMPLES, "lapack": Limits()}


def rotated(eigenvalues, seed=0):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((len(eigenvalues),) * 2))[0]
    return (basis * eigenvalues) @ basis.T, basis


def found(matrix, mean, k, **options):
    return lead(lambda columns: matrix @ columns, mean, k, **{"tolerance": 1e-6, **options})


SPECTRA = {
    "power": 1.0 / np.arange(1, 601),
    "steep": np.exp(-np.arange(600) / 8.0),
    "spikes on a flat bulk": np.where(np.arange(600) < 20, 50.0 - np.arange(600), 1.0),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_known_spectra_come_out_within_their_bounds(name):
    values = SPECTRA[name]
    matrix, basis = rotated(values)
    pairs = found(matrix, np.zeros(600), 20).centered
    assert np.abs(pairs.eigenvalues / values[:20] - 1).max() < 1e-10
    assert (np.abs(pairs.eigenvalues - values[:20]) <= pairs.bounds).all()
    assert values[20] <= pairs.outside
    sine = np.linalg.norm(pairs.eigenvectors - basis[:, :20] @ (basis[:, :20].T @ pairs.eigenvectors), 2)
    assert sine <= pairs.sine < 1e-3
    assert np.abs(pairs.eigenvectors.T @ pairs.eigenvectors - np.eye(20)).max() < 1e-12


def test_one_space_serves_the_second_moment_too():
    matrix, _ = rotated(SPECTRA["power"])
    mean = np.random.default_rng(1).standard_normal(600) / 20
    raw = found(matrix, mean, 12).raw
    true = scipy.linalg.eigh(matrix + np.outer(mean, mean), eigvals_only=True)[::-1]
    assert np.abs(raw.eigenvalues / true[:12] - 1).max() < 1e-10
    assert true[12] <= raw.outside


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(70, 150),
    k=st.integers(1, 20),
    decay=st.floats(0.0, 3.0),
    products=st.integers(1, 8),
    offset=st.floats(0.0, 5.0),
)
def test_bounds_bound_the_error_however_early_the_solver_stops(seed, size, k, decay, products, offset):
    matrix, _ = rotated(np.arange(1.0, size + 1) ** -decay, seed)
    mean = offset * np.random.default_rng(seed).standard_normal(size)
    leading = found(matrix, mean, k, most_products=products, seed=seed + 1)
    for pairs, whole in ((leading.centered, matrix), (leading.raw, matrix + np.outer(mean, mean))):
        true, vectors = (part[..., ::-1] for part in scipy.linalg.eigh(whole))
        kept = len(pairs.eigenvalues)
        rounding = 100 * size * EPS * true[0]
        assert (np.abs(pairs.eigenvalues - true[:kept]) <= pairs.bounds + rounding).all()
        # Some eigenvalue lies within each residual, whether it is the one of that rank or not.
        nearest = np.abs(pairs.eigenvalues[:, None] - true).min(axis=1)
        assert (nearest <= pairs.residuals + rounding).all()
        if kept < size:
            assert true[kept] <= pairs.outside + rounding
        if kept and pairs.sine < 1:
            rest = pairs.eigenvectors - vectors[:, :kept] @ (vectors[:, :kept].T @ pairs.eigenvectors)
            assert np.linalg.norm(rest, 2) <= pairs.sine + 1e-9


def test_a_start_in_the_wrong_invariant_space_is_found_out():
    values = 1.0 / np.arange(1, 601)
    matrix, basis = rotated(values)
    # Residuals vanish: only the probes can tell that these are not the leading ones.
    pairs = found(matrix, np.zeros(600), 20, start=basis[:, 100:120], most_products=1).centered
    assert pairs.residuals.max() < 1e-12
    assert pairs.outside > values[19]
    assert pairs.sine == 1.0
    assert (pairs.bounds >= values[:20] - pairs.eigenvalues).all()


def test_an_estimated_norm_is_right_within_its_standard_error():
    errors = []
    for seed in range(20):
        matrix, _ = rotated(np.where(np.arange(300) < 5, 10.0, 1.0), seed)
        leading = found(matrix, np.zeros(300), 5, seed=seed)
        errors.append((leading.squared_norm - 795.0) / leading.squared_norm_error)
    assert np.mean(np.abs(errors)) < 2.0
    assert np.max(np.abs(errors)) < 6.0


@pytest.mark.parametrize("k", [1, 7, 40, 200, 500])
def test_k_beyond_the_rank_and_beyond_p(k):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((120, 7)) @ rng.standard_normal((7, 90))
    m = diagonalize_leading(x, k, limits=ON_SAMPLES)
    full = phiscope.diagonalize(x)
    assert len(m.raw.eigenvalues) == min(k, 7)
    assert np.abs(m.raw.eigenvalues / full.raw.eigenvalues[: min(k, 7)] - 1).max() < 1e-9


def test_isotropic_features_are_no_obstacle():
    signs = scipy.linalg.hadamard(256)[:, 1:201].astype(float)
    m = diagonalize_leading(signs, 6, limits=ON_SAMPLES)
    assert np.abs(m.raw.eigenvalues - 1).max() < 1e-9
    assert m["stable_rank_centered"] == pytest.approx(200, rel=1e-9)
    # Nothing tells six of 200 equal eigenfunctions from the others, and that is said.
    assert "not surely the leading ones" in " ".join(m.warnings)
    assert m.provenance["raw_subspace_sine_below"] == "1"
    pairs, whole = m["participation_ratio"], 200.0
    error = float(re.search(r"participation_ratio ± ([\d.e+-]+)", " ".join(m.warnings))[1])
    assert abs(pairs - whole) < 6 * error


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
    m = diagonalize_leading(x, 12, head=head, targets=y, weights=weights, limits=ROADS[road])
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
    m = diagonalize_leading(x, 10, outputs, head, target)
    full = phiscope.diagonalize(x, outputs, head, target)
    assert {"nrc1", "nrc2", "nrc3", "target_alignment", "target_alignment_whitened"} <= set(m.numbers)
    for name, value in m.to_dict().items():
        assert value == pytest.approx(full[name], rel=1e-6, abs=1e-9), name
    assert any("not head(features)" in text for text in m.warnings)
    with pytest.raises(MissingNumberError, match="needs the whole spectrum, and only the 10 leading"):
        m["readout_r2"]


def test_nrc1_needs_as_many_eigenvalues_as_targets():
    x, _, _, _ = data(p=120)
    m = diagonalize_leading(x, 2, targets=x[:, :4])
    assert "nrc1" not in m
    assert "leading eigenvalues" in m.absent["nrc1"]


def test_a_tiny_spread_within_far_apart_classes_keeps_its_digits():
    rng = np.random.default_rng(4)
    y = np.arange(400) % 4
    x = 10.0 * np.eye(4, 80)[y] + 1e-6 * rng.standard_normal((400, 80)) + 100.0
    m = diagonalize_leading(x, 4, targets=y, limits=ON_SAMPLES)
    full = phiscope.diagonalize(x, targets=y)
    assert m["nc1"] == pytest.approx(full["nc1"], rel=1e-6)
    assert m["cdnv"] == pytest.approx(full["cdnv"], rel=1e-6)


@pytest.mark.parametrize("limits", [Limits(), ON_SAMPLES])
def test_constant_features_have_one_raw_function_and_no_centered_one(limits):
    m = diagonalize_leading(np.full((50, 80), 0.3), 5, targets=np.arange(50) % 2, limits=limits)
    assert m.raw.eigenvalues == pytest.approx([80 * 0.09])
    assert len(m.centered.eigenvalues) == 0
    assert m["participation_ratio"] == pytest.approx(1.0)
    for name in ("participation_ratio_centered", "target_alignment"):
        with pytest.raises(MissingNumberError, match="covariance is zero"):
            m[name]


@pytest.mark.parametrize("shape", [(50, 80), (80, 50)])
@pytest.mark.parametrize("road", ROADS)
def test_zero_features(shape, road):
    m = diagonalize_leading(np.zeros(shape), 5, limits=ROADS[road])
    assert len(m.raw.eigenvalues) == len(m.centered.eigenvalues) == 0
    assert not any("stopped" in text for text in m.warnings)


def test_a_memory_map_gives_what_the_array_gives_and_the_seed_decides(tmp_path):
    x, head, y, _ = data(p=120)
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    first = diagonalize_leading(mapped, 8, head=head, targets=y, limits=ON_SAMPLES)
    again = diagonalize_leading(x.astype(np.float32), 8, head=head, targets=y, limits=ON_SAMPLES)
    assert first.to_dict() == again.to_dict()
    other = diagonalize_leading(mapped, 8, head=head, targets=y, limits=Limits(formed_first=0, memory=0, seed=1))
    assert other.raw.eigenvalues == pytest.approx(first.raw.eigenvalues, rel=1e-8)


def test_stopping_early_is_said():
    x = np.random.default_rng(5).standard_normal((400, 300))
    m = diagonalize_leading(x, 30, limits=Limits(formed_first=0, memory=0, most_products=2))
    assert any("stopped before its tolerance" in text for text in m.warnings)
    assert float(m.provenance["raw_largest_residual_share"]) > 1e-2


@pytest.mark.parametrize(("n", "formed_first"), [(400, 8192), (400, 0), (150, 8192)])
@pytest.mark.parametrize("most_products", [3, 60])
def test_what_makes_no_progress_is_given_to_lapack(n, formed_first, most_products, monkeypatch):
    """The edge of a flat spectrum, where the iteration was thought to be quick: LAPACK ends it."""
    monkeypatch.setattr(solvers, "_costs", lambda *_, **__: (1.0, 31.0))
    x = np.random.default_rng(6).standard_normal((n, 200)) + 0.5
    limits = Limits(formed_first=formed_first, most_products=most_products, tolerance=1e-13)
    m = diagonalize_leading(x, 10, limits=limits)
    words = re.fullmatch(r"LAPACK on .*, after block Krylov on .*, (\d+) products", m.provenance["solver"])
    assert 3 <= int(words[1]) <= 32
    for spectrum, rows in ((m.raw, x), (m.centered, x - x.mean(axis=0))):
        full = np.linalg.svd(rows, compute_uv=False)[:10] ** 2 / n
        np.testing.assert_allclose(spectrum.eigenvalues, full, rtol=1e-12)
        assert (spectrum.eigenvalue_bounds < 1e-9 * full).all()
    # Control: without memory the iteration is all there is.
    stopped = diagonalize_leading(x, 10, limits=Limits(formed_first=formed_first, most_products=3, memory=0))
    assert np.abs(stopped.raw.eigenvalues / m.raw.eigenvalues - 1).max() > 1e-6


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_few_samples_are_exact_and_nothing_is_as_large_as_the_square_of_the_width(offset):
    """Spikes over a flat bulk, on which the iteration would not end; both operators, to rounding of the largest."""
    import tracemalloc

    rng = np.random.default_rng(7)
    n, p, k = 60, 3000, 12
    x = rng.standard_normal((n, p)) * np.where(np.arange(p) < 5, 40.0, 1.0) + offset
    tracemalloc.start()
    m = diagonalize_leading(x, k)
    assert tracemalloc.get_traced_memory()[1] < 8 * p * p / 3
    tracemalloc.stop()
    assert m.provenance["solver"] == "LAPACK on two 60 x 60 Gram matrices"
    for spectrum, rows in ((m.raw, x), (m.centered, x - x.mean(axis=0))):
        full = np.linalg.svd(rows, compute_uv=False)[:k] ** 2 / n
        np.testing.assert_allclose(spectrum.eigenvalues, full, rtol=0, atol=50 * p * EPS * full[0])
        vectors = spectrum.eigenvectors
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(k), atol=1e-12)
    assert not any("not surely" in text for text in m.warnings)


def test_many_pairs_of_many_features_are_not_iterated_for():
    """Where the space would hold half of everything, the whole spectrum costs less."""
    x = data(p=300)[0]
    few = diagonalize_leading(x, 100)
    assert few.provenance["solver"] == "LAPACK on the formed covariance"
    full = phiscope.diagonalize(x)
    assert np.abs(few.centered.eigenvalues / full.centered.eigenvalues[:100] - 1).max() < 1e-12


@pytest.mark.parametrize("shape", [(3000, 700), (700, 3000)])
def test_other_threads_go_on_meanwhile(shape):
    x = np.random.default_rng(8).standard_normal(shape)
    assert longest_wait(lambda: diagonalize_leading(x, 40)) < 0.4
    assert longest_wait(lambda: diagonalize_leading(x, 40, limits=Limits(memory=0, most_products=6))) < 0.4


def test_blocks_change_nothing(monkeypatch):
    x, head, y, weights = data(p=120)
    one = diagonalize_leading(x, 8, head=head, targets=y, weights=weights, limits=ON_SAMPLES)
    monkeypatch.setattr("phiscope.moments.wide.BLOCK_BYTES", 1)
    many = diagonalize_leading(x, 8, head=head, targets=y, weights=weights, limits=ON_SAMPLES)
    for name, value in one.to_dict().items():
        assert many[name] == pytest.approx(value, rel=1e-9), name
    monkeypatch.setattr("phiscope.moments.wide.BLOCK_BYTES", 1)
    gram = diagonalize_leading(x[:110], 8)
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
        diagonalize_leading(**{"features": np.arange(6.0).reshape(3, 2), "k": 1, **change})
    assert "\n" not in str(caught.value)


def test_trace_held_is_the_share_of_the_kept_eigenvalues():
    x = np.diag(np.sqrt(np.arange(8.0, 0.0, -1.0)))
    m = diagonalize_leading(x, 3)
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
