"""Results are pickled, copied and sent to other processes, before and after their late values are read."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import phiscope


def data():
    g = np.random.default_rng(0)
    return g.normal(size=(90, 5)), np.arange(90) % 3, g.normal(size=(3, 5))


def network():
    torch.manual_seed(0)
    X, y, _ = data()
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    return net, (torch.from_numpy(X).float(), torch.from_numpy(y))


def arrays():
    X, y, W = data()
    return phiscope.diagonalize(X, head=(W, None), targets=y)


def restricted():
    X, y, W = data()
    return phiscope.restrict(arrays(), (X, y), (W, None))


def of_measurement(m):
    late = [*m.interval("D_LR"), m["readout_r2_held_out"], m["dynamical_low_rank_corrected"]]
    curves = [m.raw.eigenvalues, m.centered.eigenvectors, m.held_out_quality(), m.tolerance_curve]
    return [*m.to_dict().values(), *late, *map(np.abs, curves), m.regime, m.warnings, str(m)]


def of_layers(layers):
    return [part for name in layers for part in (name, *layers[name].to_dict().values())] + [str(layers)]


# What makes a result, and what is read off it.
RESULTS = {
    "arrays": (arrays, of_measurement),
    "leading eigenfunctions": (lambda: phiscope.diagonalize(data()[0], k=2), lambda m: [*m.to_dict().values(), str(m)]),
    "kernel": (lambda: phiscope.diagonalize_kernel(np.eye(6)), lambda m: [*m.to_dict().values(), str(m)]),
    "network": (lambda: phiscope.measure(*network()), of_measurement),
    "layers": (lambda: phiscope.measure_layers(*network()), of_layers),
    "comparison": (
        lambda: phiscope.compare(data()[0], data()[0][:, :3]),
        lambda c: [c.cka, c.cka_unbiased, np.abs(c.overlap), c.principal_angles, str(c)],
    ),
    "restriction": (restricted, lambda r: [r.accuracy, r.loss, r.nc4]),
}
WAYS = {
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),  # noqa: S301 - made by this line
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", RESULTS)
def test_results_travel_unread_and_read(kind, way):
    make, read = RESULTS[kind]
    expected = read(make())
    assert_same(read(WAYS[way](make())), expected)
    used = make()
    read(used)
    assert_same(read(WAYS[way](used)), expected)
    assert_same(read(used), expected)


def in_a_process(pipe):
    pipe.send(arrays())
    pipe.close()


@pytest.mark.parametrize("start", ["spawn"])
def test_another_process_returns_a_measurement(start):
    context = multiprocessing.get_context(start)
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=in_a_process, args=(there,))
    child.start()
    there.close()
    found = here.recv()
    child.join()
    expected = arrays()
    assert dict(found.numbers) == pytest.approx(dict(expected.numbers), rel=1e-12)
    assert found.interval("nc1_bounded") == pytest.approx(expected.interval("nc1_bounded"), rel=1e-9)


def test_control_another_result_is_not_the_same():
    X, y, W = data()
    other = phiscope.diagonalize(X * (1 + 1e-9), head=(W, None), targets=y)
    with pytest.raises(AssertionError):
        assert_same(of_measurement(arrays()), of_measurement(other))
