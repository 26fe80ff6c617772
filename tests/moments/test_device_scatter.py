"""The path of a GPU, driven on the CPU: torch makes the products, and every number is the one that NumPy gives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from phiscope import measure
from phiscope.errors import InputError, NonFiniteError, ShapeError
from phiscope.moments import device_scatter as module
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.device_scatter import DeviceScatter
from phiscope.moments.pilots import Pilots

CPU = torch.device("cpu")


def problem(n=5000, p=40, n_classes=5, *, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    x = (rng.standard_normal((n, p)) + rng.standard_normal((n_classes, p))[y]) * np.arange(1, p + 1) ** -0.5
    return torch.from_numpy((x + offset * (1 + rng.random(p))).astype(np.float32)), torch.from_numpy(y)


def gathered(x, *, device, batch=700, n_shards=4, precision="exact", **others):
    accumulator = MomentAccumulator(n_shards=n_shards, precision=precision, device=device)
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        accumulator.update(x[rows], **{name: part[rows] for name, part in others.items()})
    return accumulator.result_with_shards()


def assert_same(found, expected, rtol):
    assert (found.n_samples, found.layout) == (expected.n_samples, expected.layout)
    np.testing.assert_allclose(found.group_weights, expected.group_weights, rtol=1e-12)
    spread = np.sqrt(np.trace(expected.within) / expected.weight)
    np.testing.assert_allclose(found.group_means, expected.group_means, rtol=rtol, atol=rtol * spread)
    np.testing.assert_allclose(found.group_squares, expected.group_squares, rtol=10 * rtol, atol=rtol * spread**2)
    assert np.abs(found.within - expected.within).max() <= rtol * np.linalg.norm(expected.within, 2)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize(("batch", "n_shards"), [(5000, 1), (5000, 4), (64, 1), (64, 4), (2049, 20)])
def test_exact_products_on_a_device_are_those_of_numpy(offset, batch, n_shards):
    x, y = problem(offset=offset)
    outputs = x @ torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    parts = {"batch": batch, "n_shards": n_shards, "targets": y, "outputs": outputs}
    found, shards = gathered(x, device=CPU, **parts)
    expected, other = gathered(x, device=None, **parts)
    assert_same(found, expected, 1e-12)
    assert len(shards) == len(other)
    for one, two in zip(shards, other, strict=True):
        assert one.n_samples == two.n_samples
        if one.within is not None:
            assert_same(one, two, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_float32_products_keep_their_promise(dtype, offset):
    x, y = problem(offset=offset)
    x = x.to(dtype)
    found, _ = gathered(x, device=CPU, precision="fast", targets=y)
    rows = x.double().numpy()
    expected = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
    eigenvalues = np.linalg.eigvalsh(found.covariance("features").dense())
    assert np.abs(eigenvalues - expected).max() < 1e-6 * expected[-1]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(50, 3000), n_classes=st.sampled_from([1, 3, 300]))
def test_weights_classes_and_splits(seed, batch, n_classes):
    """300 classes are summed by index, few by a product; unequal weights and new classes in later batches."""
    x, y = problem(n=3000, p=7, n_classes=n_classes, seed=seed)
    weights = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, 3000).astype(np.float64))
    parts = {"batch": batch, "n_shards": 1, "targets": y.sort()[0], "weights": weights}
    assert_same(gathered(x, device=CPU, **parts)[0], gathered(x, device=None, **parts)[0], 1e-11)


def test_sums_are_made_here_where_a_device_has_no_float64(monkeypatch):
    monkeypatch.setattr(module, "has_double", lambda _: False)
    x, y = problem()
    found, _ = gathered(x, device=CPU, precision="fast", targets=y)
    expected, _ = gathered(x, device=None, targets=y)
    assert_same(found, expected, 1e-6)


def test_exact_products_come_here_where_a_device_has_no_float64(monkeypatch):
    monkeypatch.setattr("phiscope.moments.accumulator.has_double", lambda _: False)
    accumulator = MomentAccumulator(device=torch.device("mps"))
    x, y = problem()
    accumulator.update(x, targets=y)
    assert_same(accumulator.result(), gathered(x, device=None, n_shards=1, batch=5000, targets=y)[0], 1e-13)


def test_later_batches_do_not_change_what_was_read_before():
    x, _ = problem()
    accumulator = MomentAccumulator(device=CPU)
    accumulator.update(x[:2000])
    early = accumulator.result()
    before = early.within.copy()
    accumulator.update(x[2000:])
    np.testing.assert_array_equal(early.within, before)
    assert_same(accumulator.result(), gathered(x, device=None, n_shards=1)[0], 1e-12)


def test_a_batch_may_be_overwritten_by_its_owner():
    x, _ = problem()
    accumulator = MomentAccumulator(device=CPU)
    reused = torch.empty(100, x.shape[1])
    for start in range(0, len(x), 100):
        reused.copy_(x[start : start + 100])
        accumulator.update(reused)
    assert_same(accumulator.result(), gathered(x, device=None, n_shards=1)[0], 1e-12)


def test_bad_tensors_are_told_apart():
    accumulator = MomentAccumulator(device=CPU)
    x, _ = problem(n=10, p=3)
    with pytest.raises(ShapeError, match=r"features has shape \(10,\), expected \(n, p\)"):
        accumulator.update(x[:, 0])
    x[4, 1] = torch.nan
    with pytest.raises(NonFiniteError, match="sample 4 of that batch"):
        accumulator.update(x)
    x[4, 1] = -torch.inf
    with pytest.raises(NonFiniteError, match="batch 0"):
        accumulator.update(x)
    with pytest.raises(InputError, match="precision is 'half'"):
        MomentAccumulator(precision="half", device=CPU)


class NoDouble(TorchDispatchMode):
    """A device without float64: whatever makes a float64 tensor there fails, as it does on Apple's."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.device.type == "meta" and made.dtype == torch.float64:
            raise TypeError(f"{function} makes float64")
        return made


@pytest.mark.parametrize("layout", [(40, 0, 0, True), (40, 3, 2, False)])
def test_no_float64_reaches_a_device_that_has_none(layout, monkeypatch):
    """Features there, outputs and float64 targets here, weights, classes with pilots of their own."""
    monkeypatch.setattr(module, "has_double", lambda device: device.type != "meta")
    seen = []
    monkeypatch.setattr(DeviceScatter, "_add_products", lambda self, *parts: seen.append(parts))
    p, n_outputs, n_values, classes = layout
    groups = np.arange(100) % 5 if classes else np.zeros(100, dtype=np.int64)
    pilots = Pilots(layout, np.float32)
    pilots.grow(5 if classes else 1)
    pilots.learn(1e3 * (1 + np.random.default_rng(0).random((100, p + n_outputs + n_values))), groups)
    assert pilots.shifted
    parts = [torch.ones(100, p, dtype=torch.bfloat16, device="meta")]
    if not classes:
        parts += [np.ones((100, n_outputs), dtype=np.float32), np.ones((100, n_values))]
    scatter = DeviceScatter(pilots, torch.device("meta"))
    with NoDouble():
        scatter.add([(parts, slice(0, 100))], groups, np.linspace(0.5, 1.5, 100))
    assert [(part.dtype, part.device.type) for part in seen[0]] == [
        (torch.float32, "meta"),
        (torch.int64, "meta"),
        (torch.float32, "meta"),
    ]


def test_float64_targets_widen_no_features():
    """Beside float64 targets, features are shifted in the precision of the products, and the targets in float64."""
    rng = np.random.default_rng(0)
    x, values = problem(offset=1000.0)[0], 1e6 + rng.normal(size=(5000, 2))
    found, _ = gathered(x, device=CPU, precision="fast", targets=torch.from_numpy(values))
    expected = np.cov(np.concatenate([x.double().numpy(), values], axis=1).T, bias=True)
    scale = np.sqrt(np.diagonal(expected))
    np.testing.assert_allclose(found.cross_covariance("values"), expected[:40, 40:], atol=1e-5 * scale.max() ** 2)
    np.testing.assert_allclose(found.covariance("values").dense(), expected[40:, 40:], rtol=1e-5, atol=1e-5)


def test_a_network_says_how_its_products_were_made():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    data = torch.randn(3000, 4), torch.randint(0, 3, (3000,))
    exact, fast = measure(model, data), measure(model, data, precision="fast")
    assert exact.provenance["products"] == "float64"
    assert "float32" in fast.provenance["products"]
    assert fast["dynamical_low_rank"] == pytest.approx(exact["dynamical_low_rank"], rel=1e-4)
    with pytest.raises(InputError, match="precision is 'best'"):
        measure(model, data, precision="best")
