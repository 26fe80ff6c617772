"""One pass over data: how far it goes, what it says meanwhile, which batch is at fault."""

import pytest
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.errors import InputError, NonFiniteError
from plain_network import N, X, Y, from_arrays, network, same
from untouched import untouched


@pytest.mark.parametrize("count", [2, 49, 50, 51, 120, 1000])
def test_max_samples_is_exact(count):
    net = network()
    measured = phiscope.measure(net, DataLoader(TensorDataset(X, Y), batch_size=50), max_samples=count)
    assert measured.n_samples == min(count, N)
    assert same(measured, from_arrays(net, Y[:count], X[:count]))


def test_max_samples_reads_no_batch_more_and_takes_longer_targets():
    taken = []

    def batches():
        for start in range(0, N, 10):
            taken.append(start)
            yield X[start : start + 10]

    measured = phiscope.measure(network(), batches(), targets=Y, max_samples=20)
    assert taken == [0, 10]
    assert measured.n_samples == 20


@pytest.mark.parametrize("count", [0, -1, True])
def test_max_samples_has_to_be_positive(count):
    with pytest.raises(InputError, match="max_samples"):
        phiscope.measure(network(), (X, Y), max_samples=count)


def test_nan_names_the_batch():
    broken = X.clone()
    broken[75] = float("nan")
    net = network()
    loader = DataLoader(TensorDataset(broken, Y), batch_size=25)
    with untouched(net), pytest.raises(NonFiniteError, match="batch 3") as caught:
        phiscope.measure(net, loader)
    assert caught.value.batch == 3


def test_progress_bar(capsys):
    phiscope.measure(network(), (X, Y), progress=True)
    assert "measuring" in capsys.readouterr().err
    phiscope.measure(network(), (X, Y), progress=False)
    phiscope.measure(network(), (X, Y))
    assert capsys.readouterr().err == ""
