"""The float32 mode: near the float64 one where it promises to be, and what it promises is worth something."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope import diagonalize
from phiscope.errors import InputError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import merge
from phiscope.moments.precision import has_double, plain_products, precision_for, reach_of

PROMISE = 1e-6


def problem(n=6000, p=96, n_classes=7, *, offset=0.0, decay=0.5, relu=False, seed=0):
    """float32 features with class means, a decaying spectrum and an offset of so many spreads."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = (rng.standard_normal((n, p)) + rng.standard_normal((n_classes, p))[y]) * np.arange(1, p + 1) ** -decay
    x = np.maximum(x, 0) if relu else x
    return (x + offset * (1 + rng.random(p))).astype(np.float32), y


def spectrum_by_definition(features):
    """Eigenvalues of the covariance, descending, in float64."""
    rows = features.astype(np.float64)
    rows -= rows.mean(axis=0)
    return np.linalg.eigvalsh(rows.T @ rows / len(rows))[::-1]


@pytest.mark.parametrize("offset", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("batch", [None, 333, 4097])
def test_every_eigenvalue_is_within_the_promise(offset, relu, batch):
    x, y = problem(offset=offset, relu=relu)
    accumulator = MomentAccumulator(precision="fast", n_shards=4)
    for start in range(0, len(x), batch or len(x)):
        stop = start + (batch or len(x))
        accumulator.update(x[start:stop], targets=y[start:stop])
    found = np.linalg.eigvalsh(accumulator.result().covariance("features").dense())[::-1]
    expected = spectrum_by_definition(x)
    assert np.abs(found - expected).max() < PROMISE * expected[0]
    # Not float64 under another name.
    assert np.abs(found - expected).max() > 1e-12 * expected[0]


def test_without_the_pilot_mean_the_promise_would_break():
    x, _ = problem(offset=1000.0)
    products = x.T @ x / np.float32(len(x)) - np.outer(x.mean(axis=0), x.mean(axis=0))
    expected = spectrum_by_definition(x)
    assert np.abs(np.linalg.eigvalsh(products)[::-1] - expected).max() > 100 * PROMISE * expected[0]


def collapse_errors(distance):
    """Relative errors of NC1, CDNV and NC2 for class means so many spreads from the center, all else isotropic."""
    rng = np.random.default_rng(0)
    y, means = np.arange(6000) % 12, rng.standard_normal((12, 1000))
    means -= means.mean(axis=0)
    means *= distance * np.sqrt(1000) / np.linalg.norm(means, axis=1, keepdims=True)
    x = (rng.standard_normal((6000, 1000)) + means[y] + 3).astype(np.float32)
    exact, fast = (diagonalize(x, targets=y, intervals=False, precision=name) for name in ("exact", "fast"))
    return [abs(fast[name] / exact[name] - 1) for name in ("nc1", "cdnv", "nc2_equinorm")]


@pytest.mark.parametrize("distance", [1.0, 2.7, 7.9, 100.0])
def test_within_class_numbers_keep_five_digits(distance):
    """Class means far apart in many columns: rounding of the scatter between them must not reach that within."""
    assert max(collapse_errors(distance)) < 1e-5


def test_with_one_pilot_for_all_classes_they_would_not(monkeypatch):
    monkeypatch.setattr("phiscope.moments.pilots.PLAIN_COLUMNS", 10**9)
    assert max(collapse_errors(7.9)) > 1e-5


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_every_number_is_near_the_exact_one(offset):
    x, y = problem(offset=offset)
    head = np.random.default_rng(1).standard_normal((7, x.shape[1])), None
    exact, fast = (diagonalize(x, targets=y, head=head, precision=name).to_dict() for name in ("exact", "fast"))
    assert exact.keys() == fast.keys()
    for name, value in exact.items():
        assert fast[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_collapsed_classes_keep_their_spread():
    """Class means a thousand spreads apart: pilots of the classes, not of all, are subtracted."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 5, 5000)
    means = 1000 * rng.standard_normal((5, 40))
    x = means[y] + rng.standard_normal((5000, 40))
    fast, exact = (diagonalize(x, targets=y, precision=name) for name in ("fast", "exact"))
    assert fast["nc1"] == pytest.approx(exact["nc1"], rel=1e-5)
    spread = x - np.stack([x[y == c].mean(axis=0) for c in range(5)])[y]
    assert exact["nc1"] < 1e-4
    assert (spread**2).sum(axis=1).mean() == pytest.approx(40, rel=0.05)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    cut=st.integers(700, 1400),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    width=st.integers(1, 12),
)
def test_split_order_and_merge_do_not_matter(seed, cut, scale, width):
    rng = np.random.default_rng(seed)
    x = (scale * (rng.standard_normal((2000, width)) + 3)).astype(np.float32)
    w = rng.uniform(0.5, 2, 2000)

    def moments(rows, weights):
        accumulator = MomentAccumulator(precision="fast")
        accumulator.update(rows, weights=weights)
        return accumulator.result()

    order = rng.permutation(2000)
    whole = moments(x, w)
    for other in (moments(x[order], w[order]), merge(moments(x[:cut], w[:cut]), moments(x[cut:], w[cut:]))):
        a, b = whole.covariance("features").dense(), other.covariance("features").dense()
        assert np.abs(a - b).max() <= PROMISE * np.linalg.norm(a, 2)
        np.testing.assert_allclose(whole.mean, other.mean, rtol=1e-6)


def test_few_samples_are_kept_as_they_are():
    x, y = problem(n=60, p=96)
    fast, exact = (diagonalize(x, targets=y, precision=name) for name in ("fast", "exact"))
    np.testing.assert_array_equal(fast.centered.eigenvalues, exact.centered.eigenvalues)


def test_float64_and_half_features_are_taken():
    x, y = problem(n=2000, p=24)
    expected = spectrum_by_definition(x)
    for rows, reach in ((x.astype(np.float64), PROMISE), (x.astype(np.float16), 1e-3)):
        found = diagonalize(rows, targets=y, precision="fast").centered.eigenvalues
        assert np.abs(found - expected).max() < reach * expected[0]


def test_the_result_says_so():
    x, _ = problem(n=700, p=8)
    assert "float32" in diagonalize(x, precision="fast").provenance["products"]
    assert diagonalize(x).provenance["products"] == "float64"


@pytest.mark.parametrize("scale", [1e-20, 1e18])
def test_numbers_outside_the_range_of_float32_are_refused(scale):
    x, _ = problem(n=1000, p=8)
    with pytest.raises(InputError, match=r"features reach .*'fast' holds from 1e-12 to 1e\+15; rescale"):
        diagonalize(x.astype(np.float64) * scale, precision="fast")
    assert diagonalize(x.astype(np.float64) * scale).n_samples == 1000


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="precision is 'double', expected one of 'exact', 'fast'"):
        diagonalize(np.eye(3), precision="double")
    with pytest.raises(InputError, match="k = 2 came with precision 'fast'"):
        diagonalize(np.eye(3), k=2, precision="fast")


def test_stored_rows_may_be_multiplied_in_float32(tmp_path):
    x, _ = problem(n=3000, p=16)
    np.save(tmp_path / "x.npy", x)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    fast = diagonalize(stored, precision="fast", intervals=False)
    expected = spectrum_by_definition(x)
    assert 1e-12 * expected[0] < np.abs(fast.centered.eigenvalues - expected).max() < PROMISE * expected[0]
    assert "float32" in fast.provenance["products"]
    with pytest.raises(InputError, match="precision is 'half'"):
        diagonalize(stored, precision="half")


CPU = torch.device("cpu")


def test_products_are_plain_whatever_the_user_has_set():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            with plain_products(CPU):
                assert torch.get_float32_matmul_precision() == "highest"
                assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


NEWER_SETTINGS = """
import torch
from phiscope.moments.precision import plain_products
cuda, everywhere = torch.backends.cuda.matmul, torch.backends
for chosen in (everywhere, cuda):
    chosen.fp32_precision = "tf32"
    with plain_products(torch.device("cpu")):
        assert cuda.fp32_precision == "ieee"
    assert cuda.fp32_precision == "tf32"
    chosen.fp32_precision = "ieee"
    assert cuda.fp32_precision == "ieee"
"""


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="an older torch has one setting")
def test_products_are_plain_after_the_newer_setting_too():
    """In a process of its own: once used, the newer setting makes torch refuse to read the older one."""
    done = subprocess.run([sys.executable, "-c", NEWER_SETTINGS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_devices_are_good_at(monkeypatch):
    assert has_double(CPU)
    assert not has_double(torch.device("mps")) or torch.backends.mps.is_available()
    assert precision_for(CPU) == "exact"
    assert precision_for(torch.device("mps")) == "fast"
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.version, "hip", None)
    for capability, expected in {
        (9, 0): "exact",
        (8, 0): "exact",
        (8, 6): "fast",
        (8, 9): "fast",
        (12, 0): "fast",
    }.items():
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert precision_for(card) == expected


def test_reach_sees_every_type():
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int32):
        assert reach_of(torch.tensor([[1, -5], [2, 3]], dtype=dtype)) == 5.0
    assert reach_of(np.array([[1, -5], [2, 3]])) == 5.0
    assert np.isnan(reach_of(torch.tensor([[1.0, torch.nan]])))
    assert np.isnan(reach_of(np.array([[1.0, np.nan]], dtype=np.float16)))
    assert reach_of(torch.tensor([[1.0, -torch.inf]])) == np.inf
