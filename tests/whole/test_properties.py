"""What holds for any data: streaming, invariances, orderings, ranges, round trips."""

import itertools
import math
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phiscope import Measurement, diagonalize
from phiscope.measurement.assemble import measurement_from_moments
from phiscope.metrics import SCALARS
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import merge

EPS = np.finfo(np.float64).eps

relaxed = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Numbers that are estimates from random shards: the split into shards depends on the order of the samples.
FROM_SHARDS = {name for name in SCALARS if name.endswith("_corrected")} | {"readout_r2_held_out"}


@st.composite
def data_sets(draw, max_n=60, max_p=9):
    """Gaussian classes with a head: generic data, so that no rank sits on its tolerance."""
    n, p = draw(st.integers(3, max_n)), draw(st.integers(1, max_p))
    C = draw(st.integers(2, 5))
    g = np.random.default_rng(draw(st.integers(0, 2**32)))
    y = g.integers(0, C, n)
    X = g.normal(size=(n, p)) + 2 * g.normal(size=(C, p))[y] + draw(st.sampled_from([0.0, 1.0, 30.0]))
    weights = draw(st.sampled_from([None, g.uniform(0.2, 3, n)]))
    return {"features": X, "outputs": X @ g.normal(size=(p, C)), "targets": y, "weights": weights}


def subset(data, rows):
    return {key: None if part is None else part[rows] for key, part in data.items()}


def moments_of(data):
    accumulator = MomentAccumulator()
    accumulator.update(**data)
    return accumulator


def assert_same_moments(one, other, scale):
    """All sums are of at most 60 terms; 1e3 eps of the largest term covers any order."""
    assert (one.n_samples, one.layout) == (other.n_samples, other.layout)
    assert one.weight == pytest.approx(other.weight, rel=1e-13)
    assert one.squared_weight == pytest.approx(other.squared_weight, rel=1e-13)
    np.testing.assert_array_equal(one.group_counts, other.group_counts)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e3 * EPS * scale)
    np.testing.assert_allclose(one.group_means, other.group_means, atol=1e3 * EPS * scale)
    np.testing.assert_allclose(one.group_squares, other.group_squares, atol=1e3 * EPS * scale**2 * one.weight)
    for part in ("features", "outputs"):
        a, b = (m.covariance(part) for m in (one, other))
        identity = np.eye(a.size)
        np.testing.assert_allclose(a.apply(identity), b.apply(identity), atol=1e3 * EPS * scale**2)
    np.testing.assert_allclose(
        one.cross_covariance("outputs"), other.cross_covariance("outputs"), atol=1e3 * EPS * scale**2
    )


def assert_same_numbers(one, other, tolerance=1e-8, without=FROM_SHARDS):
    """Condition numbers up to 1e4 (a tail eigenvalue of 60 samples) of errors of 1e-12 (offset 30, products)."""
    names = set(one.to_dict()) - set(without)
    assert names == set(other.to_dict()) - set(without)
    for name in names:
        assert one[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance), name


def scale_of(data):
    return max(np.abs(data["features"]).max(), np.abs(data["outputs"]).max())


@relaxed
@given(data=data_sets(), cuts=st.lists(st.integers(0, 60), max_size=8), seed=st.integers(0, 2**32))
def test_any_batches_in_any_order(data, cuts, seed):
    n = len(data["features"])
    order = np.random.default_rng(seed).permutation(n)
    accumulator = MomentAccumulator()
    for rows in np.split(order, sorted(cut % (n + 1) for cut in cuts)):
        accumulator.update(**subset(data, rows))
    batched, whole = accumulator.result(), moments_of(data).result()
    assert_same_moments(batched, whole, scale_of(data))
    assert_same_numbers(measurement_from_moments(batched), measurement_from_moments(whole))


@relaxed
@given(data=data_sets(), n_parts=st.integers(2, 7), tree=st.randoms(use_true_random=False))
def test_any_merge_tree(data, n_parts, tree):
    rows = np.array([tree.randrange(n_parts) for _ in range(len(data["features"]))])
    parts = []
    for part in range(n_parts):
        accumulator = moments_of(subset(data, rows == part))
        parts += [moments for moments in accumulator.shards() if moments.n_samples]
    while len(parts) > 1:
        first = parts.pop(tree.randrange(len(parts)))
        second = parts.pop(tree.randrange(len(parts)))
        parts.append(merge(first, second))
    whole = moments_of(data).result()
    assert_same_moments(parts[0], whole, scale_of(data))
    assert_same_numbers(measurement_from_moments(parts[0]), measurement_from_moments(whole))


@relaxed
@given(data=data_sets(), n_shards=st.integers(2, 20))
def test_shards_are_a_partition(data, n_shards):
    accumulator = MomentAccumulator(n_shards=n_shards)
    accumulator.update(**data)
    whole, shards = accumulator.result_with_shards()
    assert sum(shard.n_samples for shard in shards) == len(data["features"])
    assert_same_moments(reduce(merge, shards), moments_of(data).result(), scale_of(data))
    assert_same_moments(whole, moments_of(data).result(), scale_of(data))


@relaxed
@given(data=data_sets())
def test_reading_the_result_changes_nothing(data):
    accumulator = moments_of(data)
    first = accumulator.result()
    before = first.covariance("features").apply(np.eye(first.n_features))
    accumulator.update(**data)
    second = accumulator.result()
    assert (first.n_samples * 2, second.n_samples) == (second.n_samples, accumulator.result().n_samples)
    np.testing.assert_array_equal(first.covariance("features").apply(np.eye(first.n_features)), before)
    once, twice = diagonalize(**data), diagonalize(**data)
    assert once.to_dict() == twice.to_dict()


def test_merge_control():
    """Two halves with different means: averaging their covariances, as trackers do, is not merging."""
    data = {"features": np.random.default_rng(0).normal(size=(40, 3)), "outputs": np.ones((40, 1))}
    data["features"][20:] += 5
    half = moments_of(subset(data, slice(0, 20))).result()
    with pytest.raises(AssertionError):
        assert_same_moments(half, moments_of(data).result(), 5)


# Invariances.

CENTERED = {
    "effective_dimension_centered",
    "participation_ratio_centered",
    "stable_rank_centered",
    "alpha_req",
    "dynamical_low_rank_centered",
    "dynamical_low_rank_random_head",
    "used_variance",
    "output_rank",
    "target_alignment",
    "target_alignment_whitened",
    "collapse_distance",
    "readout_r2",
    "nc1",
    "nc1_bounded",
    "nc2_equinorm",
    "nc2_equiangular",
    "cdnv",
    "discriminant_information",
}


def rotation(g, p):
    return np.linalg.qr(g.normal(size=(p, p)))[0]


def assert_invariant(one, other, names, tolerance=1e-8):
    assert names & set(one.to_dict()) == names & set(other.to_dict())
    for name in names & set(one.to_dict()):
        assert one[name] == pytest.approx(other[name], rel=tolerance, abs=tolerance), name


@relaxed
@given(data=data_sets(), seed=st.integers(0, 2**32), scale=st.sampled_from([1e-6, 0.3, 1e6]), shift=st.floats(-50, 50))
def test_feature_shift_scale_rotation(data, seed, scale, shift):
    g = np.random.default_rng(seed)
    p = data["features"].shape[1]
    moved = data | {"features": scale * (data["features"] @ rotation(g, p) + shift * g.normal(size=p))}
    assert_invariant(diagonalize(**data), diagonalize(**moved), CENTERED)


RAW = {"effective_dimension", "participation_ratio", "stable_rank", "rankme", "srank", "dynamical_low_rank"}


@relaxed
@given(data=data_sets(), seed=st.integers(0, 2**32), scale=st.sampled_from([1e-6, 0.3, 1e6]))
def test_raw_numbers_do_not_see_scale_and_rotation(data, seed, scale):
    p = data["features"].shape[1]
    moved = data | {"features": scale * data["features"] @ rotation(np.random.default_rng(seed), p)}
    one, other = diagonalize(**data), diagonalize(**moved)
    assert_invariant(one, other, RAW | CENTERED)
    np.testing.assert_allclose(other.raw.eigenvalues, scale**2 * one.raw.eigenvalues, rtol=1e-8)
    np.testing.assert_allclose(other.raw.quality, one.raw.quality, atol=1e-6)


@relaxed
@given(data=data_sets(), seed=st.integers(0, 2**32), bias=st.floats(-20, 20))
def test_any_invertible_head(data, seed, bias):
    """D_LR centered sees the span of the outputs only: W -> A W and the bias change nothing.

    For classes it sees that of their differences, which an A that keeps the all-ones vector does not change.
    """
    g = np.random.default_rng(seed)
    p = data["features"].shape[1]
    C = int(g.integers(1, 6))
    W = g.normal(size=(C, p))
    A = rotation(g, C) @ np.diag(g.uniform(0.5, 2, C)) @ rotation(g, C)
    if C > 1 and data["targets"] is not None and data["targets"].dtype.kind == "i":
        A += (1 - A.sum(axis=1, keepdims=True)) / C
    del data["outputs"]
    data["num_classes"] = 5
    tight = {"rank_tolerance": 1e-9}  # A must not push a direction below the tolerance
    spread = np.cov(data["features"].T, bias=True, aweights=data["weights"]).reshape(p, p)
    for head in (W, A @ W, W - W.mean(axis=0), A @ W - (A @ W).mean(axis=0)):
        values = np.linalg.eigvalsh(head @ spread @ head.T)
        # A direction that few samples make ever so weak is left out by either head, and not the same one.
        assume(not ((values > 1e-13 * values[-1]) & (values < 1e-7 * values[-1])).any())
    one = diagonalize(**data, head=(W, None), **tight)
    other = diagonalize(**data, head=(A @ W, np.full(C, bias)), **tight)
    assert_invariant(one, other, CENTERED)


def test_raw_reading_and_nc3_do_see_them():
    """Control of the invariances: what must change does change."""
    g = np.random.default_rng(0)
    X, y, W = g.normal(size=(50, 4)), np.arange(50) % 3, g.normal(size=(3, 4))
    base = diagonalize(X, head=(W, None), targets=y)
    A = np.diag([1.0, 2.0, 3.0])
    assert abs(base["nc3"] - diagonalize(X, head=(A @ W, None), targets=y)["nc3"]) > 1e-3
    assert (
        abs(base["dynamical_low_rank"] - diagonalize(X, head=(W, np.full(3, 2.0)), targets=y)["dynamical_low_rank"])
        > 1e-3
    )
    assert abs(base["effective_dimension"] - diagonalize(X + 3)["effective_dimension"]) > 1e-3
    assert abs(base["used_variance"] - diagonalize(X * [1, 2, 3, 4], outputs=X @ W.T)["used_variance"]) > 1e-3


@relaxed
@given(data=data_sets(), seed=st.integers(0, 2**32))
def test_names_of_classes_and_order_of_features_do_not_matter(data, seed):
    g = np.random.default_rng(seed)
    other = data | {"targets": g.permutation(5)[data["targets"]]}
    other["features"] = data["features"][:, g.permutation(data["features"].shape[1])]
    assert_invariant(diagonalize(**data), diagonalize(**other), RAW | CENTERED)


@relaxed
@given(data=data_sets(), times=st.integers(2, 4))
def test_repeating_all_samples_changes_nothing(data, times):
    repeated = {key: None if part is None else np.repeat(part, times, axis=0) for key, part in data.items()}
    assert_invariant(diagonalize(**data), diagonalize(**repeated), (RAW - {"rankme"}) | CENTERED)


# Orders and ranges, for any numbers at all.

values = st.floats(-1e6, 1e6, width=32).map(lambda x: 0.0 if abs(x) < 1e-30 else x)
rows = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=7).flatmap(
    lambda shape: hnp.arrays(np.float64, shape, elements=values)
)


def assert_sound(m):
    """Every number is where its definition row says, every curve monotone, dimensions in order."""
    for name, value in m.to_dict().items():
        row = SCALARS[name]
        assert math.isfinite(value), name
        # RankMe adds 1e-7 to each share, so it may miss 1 by that much.
        slack = 1e-9 * max(1.0, abs(value)) + 2e-7 * (name == "rankme")
        assert row.low is None or value >= row.low - slack or name.endswith("_corrected"), name
        assert row.high is None or value <= row.high + slack or name.endswith("_corrected"), name
    for centered in (False, True):
        spectrum = m.spectrum(centered=centered)
        rho = spectrum.eigenvalues
        assert len(rho) <= min(m.n_features, m.n_samples)
        assert (rho > 0).all()
        assert (np.diff(rho) <= 0).all()
        for name in ("quality", "utilization"):
            share, total = getattr(spectrum, name), getattr(spectrum, f"cumulative_{name}")
            assert (share is None) == (total is None)
            if share is not None:
                assert ((share >= 0) & (share <= 1)).all()
                assert ((total >= 0) & (total <= 1)).all()
                assert (np.diff(total) >= 0).all()
        if len(rho):
            V = spectrum.eigenvectors
            np.testing.assert_allclose(V.T @ V, np.eye(len(rho)), atol=1e3 * EPS)
            suffix = "_centered" if centered else ""
            chain = [m[f"{name}{suffix}"] for name in ("stable_rank", "participation_ratio", "effective_dimension")]
            chain = [1.0, *chain, float(len(rho))]
            assert all(a <= b * (1 + 1e-9) for a, b in itertools.pairwise(chain)), chain
    for name in SCALARS:
        assert (name in m.numbers) != (name in m.absent), name


@settings(relaxed, max_examples=150)
@given(X=rows, targets=st.integers(0, 3), seed=st.integers(0, 2**32))
def test_anything_finite_is_measured_soundly(X, targets, seed):
    g = np.random.default_rng(seed)
    n, p = X.shape
    y = [None, g.integers(0, 3, n), X[:, 0], g.normal(size=(n, 2))][targets]
    assert_sound(diagonalize(X, outputs=X[:, ::-1] * 2, targets=y))
    assert_sound(diagonalize(X, head=(g.normal(size=(3, p)), None), targets=y))
    assert_sound(diagonalize(X, outputs=np.sign(X), targets=y, weights=g.integers(1, 4, n)))


@relaxed
@given(data=data_sets(max_n=90))
def test_generic_data_are_measured_soundly(data):
    assert_sound(diagonalize(**data))


def test_soundness_control():
    m = diagonalize(np.random.default_rng(0).normal(size=(20, 3)))
    wrong = dict(m.numbers) | {"stable_rank": 2.9}
    with pytest.raises(AssertionError):
        assert_sound(replace(m, numbers=wrong))
    with pytest.raises(AssertionError):
        assert_sound(replace(m, numbers=dict(m.numbers) | {"srank": float("nan")}))


# Eigenfunctions.


@relaxed
@given(data=data_sets())
def test_eigenfunctions_are_orthonormal_on_the_probe(data):
    m = diagonalize(**data)
    n = len(data["features"])
    share = np.full(n, 1 / n) if data["weights"] is None else data["weights"] / data["weights"].sum()
    for centered in (False, True):
        rho = m.spectrum(centered=centered).eigenvalues
        E = m.eigenfunctions(data["features"], centered=centered)
        assert E.shape == (n, len(rho))
        # e_k divides by sqrt(rho_k): rounding eps rho_1 becomes eps rho_1 / rho_k.
        np.testing.assert_allclose((share[:, None] * E).T @ E, np.eye(len(rho)), atol=1e3 * EPS * rho[0] / rho[-1])
        if centered:
            np.testing.assert_allclose(share @ E, 0, atol=1e5 * EPS * np.sqrt(m.raw.eigenvalues[0] / rho[-1]))


@relaxed
@given(data=data_sets())
def test_class_profile_is_the_class_mean_of_the_eigenfunctions(data):
    m = diagonalize(**data)
    y, weights = data["targets"], data["weights"]
    for centered in (False, True):
        E, profile = m.eigenfunctions(data["features"], centered=centered), m.class_profile(centered=centered)
        assert profile.shape == (m.n_classes, E.shape[1])
        for c in range(m.n_classes):
            if (y == c).any():
                expected = np.average(E[y == c], axis=0, weights=None if weights is None else weights[y == c])
                np.testing.assert_allclose(profile[c], expected, atol=1e-7)
            else:
                assert np.isnan(profile[c]).all()


@relaxed
@given(data=data_sets(), seed=st.integers(0, 2**32))
def test_signs_do_not_depend_on_the_order_of_samples(data, seed):
    """Positive on the class with the strongest correlation, so the profile is the same in any order."""
    order = np.random.default_rng(seed).permutation(len(data["features"]))
    one, other = diagonalize(**data), diagonalize(**subset(data, order))
    for centered in (False, True):
        profile = one.class_profile(centered=centered) * np.sqrt(one.class_weights)[:, None]
        profile = profile[one.class_weights > 0]
        strongest = np.abs(profile).max(axis=0)
        assert (profile.max(axis=0) >= strongest * (1 - 1e-6)).all()
        again = other.class_profile(centered=centered) * np.sqrt(other.class_weights)[:, None]
        ranked = np.sort(np.abs(np.vstack([profile, np.zeros_like(profile[:1])])), axis=0)
        clear = ranked[-1] > ranked[-2] + 1e-6
        gap = one.spectrum(centered=centered).eigenvalues
        apart = np.append(-np.diff(gap), np.inf) > 1e-5 * gap[0]
        apart &= np.append(np.inf, -np.diff(gap)) > 1e-5 * gap[0]
        np.testing.assert_allclose(
            again[other.class_weights > 0][:, clear & apart], profile[:, clear & apart], atol=1e-4
        )


# Round trips.


def assert_equal(one, other):
    assert one.to_dict() == other.to_dict()
    for name in ("absent", "evidence", "warnings", "provenance", "rank_tolerance", "regime", "estimates"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("n_samples", "n_features", "n_outputs", "n_classes"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("feature_mean", "class_means", "class_weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for centered in (False, True):
        a, b = (m.spectrum(centered=centered) for m in (one, other))
        for name in (
            "eigenvalues",
            "eigenvectors",
            "quality",
            "utilization",
            "cumulative_quality",
            "cumulative_utilization",
        ):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
            assert (getattr(a, name) is None) == (getattr(b, name) is None)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("record") / "m.safetensors"


@relaxed
@given(data=data_sets(), without=st.sets(st.sampled_from(["outputs", "targets", "weights"])))
def test_save_and_load(file, data, without):
    m = diagonalize(**{key: None if key in without else part for key, part in data.items()})
    m.save(file)
    loaded = Measurement.load(file)
    assert_equal(loaded, m)
    np.testing.assert_array_equal(loaded.eigenfunctions(data["features"]), m.eigenfunctions(data["features"]))
    assert str(loaded) == str(m)


@pytest.mark.parametrize("kept", [0, 1, 3, 99])
def test_keeping_some_eigenvectors(file, kept):
    X = np.random.default_rng(0).normal(size=(30, 5))
    m = diagonalize(X, targets=np.arange(30) % 2)
    m.save(file, keep_eigenvectors=kept)
    loaded = Measurement.load(file)
    k = min(kept, 5)
    assert loaded.raw.eigenvectors.shape == (5, k)
    np.testing.assert_array_equal(loaded.raw.eigenvalues, m.raw.eigenvalues)
    np.testing.assert_allclose(loaded.eigenfunctions(X), m.eigenfunctions(X)[:, :k], atol=1e3 * EPS)
    assert loaded.class_profile().shape == (2, k)
    assert loaded.to_dict() == m.to_dict()


def test_round_trip_control(file):
    X = np.random.default_rng(0).normal(size=(30, 5))
    diagonalize(X).save(file)
    with pytest.raises(AssertionError):
        assert_equal(Measurement.load(file), diagonalize(X * (1 + 1e-15)))


def test_every_definition_is_known_here():
    """A new number has to be sorted into the sets above, or it is not tested for invariance."""
    sorted_in = CENTERED | RAW | FROM_SHARDS | {"output_rank_raw", "head_excess_loss", "initial_kernel_similarity"}
    sorted_in |= {"nc3", "nrc1", "nrc2", "nrc3", "initial_kernel_similarity_raw"}
    sorted_in |= {"within_class_variance", "between_class_variance"}
    assert set(SCALARS) == sorted_in
