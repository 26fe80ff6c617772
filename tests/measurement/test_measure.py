"""measure(): the same numbers as from arrays, whatever the model's form; clear sentences for bad input."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import InputError, NoHeadError, ShapeError, TargetError
from plain_network import N, X, Y, from_arrays, network, same
from untouched import untouched


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, N), max_size=6), seed=st.integers(0, 20))
def test_any_split_into_batches_gives_the_same(cuts, seed):
    net = network(seed=seed)
    edges = sorted({0, N, *cuts})
    batches = [(X[a:b], Y[a:b]) for a, b in pairwise(edges)]
    assert same(phiscope.measure(net, iter(batches)), from_arrays(net, Y))


def test_control_leaving_out_a_batch_does_not_give_the_same():
    net = network()
    assert not same(phiscope.measure(net, [(X[:60], Y[:60])]), from_arrays(net, Y))


def test_eval_mode_is_used_and_the_result_repeats():
    net = network().train()
    first, second = phiscope.measure(net, (X, Y)), phiscope.measure(net, (X, Y))
    assert first.to_dict() == second.to_dict()
    assert net.training


def test_regression_targets():
    net = network(outputs=2)
    values = torch.randn(N, 2, generator=torch.Generator().manual_seed(5))
    measured = phiscope.measure(net, (X, values))
    assert measured.n_classes is None
    assert same(measured, from_arrays(net, values))
    one = phiscope.measure(network(outputs=1), (X, values[:, 0]))
    assert one.n_outputs == 1
    assert "target_alignment" in one


def test_two_classes_from_one_output():
    measured = phiscope.measure(network(outputs=1), (X, Y % 2))
    assert (measured.n_classes, measured.n_outputs) == (2, 1)
    assert phiscope.measure(network(outputs=1), (X, (Y % 2).bool())).n_classes == 2
    with pytest.raises(TargetError, match=r"one output.*floats"):
        phiscope.measure(network(outputs=1), (X, Y))


def test_classes_that_never_occur_are_counted():
    measured = phiscope.measure(network(outputs=5), (X, Y))
    assert measured.n_classes == 5
    assert any("never occur" in warning for warning in measured.warnings)


@pytest.mark.parametrize("labels", [Y + 1, Y - 1, torch.full((N,), 7)])
def test_classes_outside_the_head(labels):
    net = network()
    with untouched(net), pytest.raises(TargetError, match="class indices"):
        phiscope.measure(net, (X, labels))


def test_a_model_without_numbers():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)).to("meta")
    with pytest.raises(InputError, match="on the device 'meta', where parameters have shapes and no numbers"):
        phiscope.measure(model, (torch.zeros(5, 3), torch.zeros(5, dtype=torch.long)))


def test_arguments_that_cannot_be_used():
    with pytest.raises(InputError, match="arrays go to diagonalize"):
        phiscope.measure(X, (X, Y))
    with pytest.raises(NoHeadError):
        phiscope.measure(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), (X, Y))
    with pytest.raises(ShapeError, match="one class index"):
        phiscope.measure(network(), (X, torch.zeros(N, 3, dtype=torch.long)))
    with pytest.raises(ShapeError, match="one row for"):
        phiscope.measure(network(), X, targets=lambda batch: torch.zeros(N - 1))
    with pytest.raises(InputError, match="rank_tolerance"):
        phiscope.measure(network(), (X, Y), rank_tolerance=2.0)


def test_provenance_tells_what_was_chosen():
    measured = phiscope.measure(network(), (X, Y))
    told = measured.provenance
    assert told["head"] == "4 (Linear)"
    assert told["layout"] == "the output: as it is"
    assert told["targets"] == "classes, one for each sample"
    assert (told["model"], told["device"], told["batches"]) == ("Sequential", "cpu", "1")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_measured_in_float64(dtype):
    net = network().eval().to(dtype)
    measured = phiscope.measure(net, (X.to(dtype), Y))
    with torch.no_grad():
        features = net[:-1](X.to(dtype)).double()
    head = (net[-1].weight.double(), net[-1].bias.double())
    expected = phiscope.diagonalize(features, head=head, targets=Y)
    assert same(measured, expected, rel=1e-9)
    assert measured.provenance["precision"] == str(dtype)


def test_half_precision_outside_autocast():
    net = network()
    plain = phiscope.measure(net, (X, Y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert phiscope.measure(net, (X, Y)).to_dict() == plain.to_dict()


def test_device_by_name_and_targets_as_arrays():
    net = network()
    expected = phiscope.measure(net, (X, Y)).to_dict()
    assert phiscope.measure(net, (X, Y), device="cpu").to_dict() == expected
    assert phiscope.measure(net, X, targets=Y.numpy()).to_dict() == expected
    assert phiscope.measure(net, X, targets=np.asarray(Y).tolist()).to_dict() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_model_stays_where_it_is():
    net = network()
    with untouched(net):
        measured = phiscope.measure(net, (X, Y), device="cuda")
    assert measured.provenance["device"].startswith("cuda")
    assert same(measured, phiscope.measure(net, (X, Y)), rel=1e-2)
