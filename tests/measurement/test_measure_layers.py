"""measure_layers(): the numbers of features collected by hand, whatever a layer's form; no layer skipped in silence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from layered_networks import FLAT, N, X, Y, by_hand, conv_net, same
from phiscope.errors import EmptyDataError, InputError, NoHeadError, NonFiniteError
from untouched import untouched


def test_the_last_is_what_measure_measures():
    net = conv_net()
    layers = phiscope.measure_layers(net, (X, Y))
    whole = phiscope.measure(net, (X, Y))
    assert list(layers) == ["relu1", "head"]
    assert layers["head"].to_dict() == whole.to_dict()
    assert layers["head"].centered.utilization == pytest.approx(whole.centered.utilization, abs=1e-12)
    assert layers.left_out == {"relu2": "its features are the ones that head 'head' reads"}
    # Its spans taken from measured outputs instead of the head's weights: the same but for rounding.
    pooled = phiscope.measure_layers(net, (X, Y), ["relu2"])["relu2"]
    assert pooled["dynamical_low_rank"] == pytest.approx(whole["dynamical_low_rank"], abs=1e-6)
    assert pooled["used_variance"] == pytest.approx(whole["used_variance"], abs=1e-6)
    assert pooled.absent["nc3"]
    assert pooled.absent["head_excess_loss"] == "the network's head does not read this layer"
    assert "head_excess_loss" in layers["head"]


def test_control_a_network_with_another_head_differs():
    net, other = conv_net(), conv_net()
    with torch.no_grad():
        other.head.weight.copy_(torch.randn(3, 4, generator=torch.Generator().manual_seed(3)))
    one, two = (phiscope.measure_layers(part, (X, Y), ["relu1"])["relu1"] for part in (net, other))
    assert one["used_variance"] != pytest.approx(two["used_variance"], abs=1e-3)
    assert one["effective_dimension"] == two["effective_dimension"]


def test_more_outputs_than_features_keep_every_span():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.Tanh(), nn.Linear(10, 4), nn.Tanh(), nn.Linear(4, 9))
    measured = phiscope.measure_layers(net, (X, Y % 9), ["2"])["2"]
    told, outputs = by_hand(net, ["2"], X)
    twin = phiscope.diagonalize(told["2"][0], outputs=outputs, targets=Y % 9, num_classes=9)
    assert measured.n_outputs == 9
    assert same(measured, twin)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, N), seed=st.integers(0, 10))
def test_any_batch_size_gives_the_same(size, seed):
    net = conv_net(seed)
    batches = [(X[start : start + size], Y[start : start + size]) for start in range(0, N, size)]
    split, whole = (phiscope.measure_layers(net, data, "*relu1", maps="positions") for data in (batches, (X, Y)))
    assert same(split["relu1"], whole["relu1"])


def test_max_samples_counts_answers_of_the_network():
    measured = phiscope.measure_layers(conv_net(), (X, Y), ["conv2", "head"], maps="positions", max_samples=50)
    assert measured["head"].n_samples == 50
    assert measured["conv2"].n_samples == 50 * 4
    assert same(measured["head"], phiscope.measure(conv_net(), (X[:50], Y[:50])))


def test_ignored_labels_are_left_out_of_every_layer():
    labels = torch.where(torch.arange(N) % 4 == 0, -100, Y)
    kept = labels != -100
    net = conv_net()
    measured = phiscope.measure_layers(net, (X, labels), ["conv2"], maps="positions")["conv2"]
    assert measured.provenance["left_out"].startswith("24 ")
    assert same(measured, phiscope.measure_layers(net, (X[kept], Y[kept]), ["conv2"], maps="positions")["conv2"])
    with pytest.raises(EmptyDataError, match="96 were left out"):
        phiscope.measure_layers(net, (X, torch.full((N,), -100)))


def test_regression_and_no_targets():
    values = torch.randn(N, 3, generator=torch.Generator().manual_seed(4))
    measured = phiscope.measure_layers(conv_net(), (X, values))["relu1"]
    assert measured.n_classes is None
    assert "readout_r2" in measured
    assert "target_alignment" not in phiscope.measure_layers(conv_net(), X)["relu1"]


def test_nan_names_layer_and_batch():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.head = nn.Identity(), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.bad(x).nan_to_num())

    data = FLAT.clone()
    data[70] = torch.nan
    net = Broken()
    batches = [(data[start : start + 32], Y[start : start + 32]) for start in (0, 32, 64)]
    with untouched(net), pytest.raises(NonFiniteError, match="layer 'bad' hold NaN or Inf in batch 2") as caught:
        phiscope.measure_layers(net, batches, ["bad"])
    assert caught.value.batch == 2


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_behind(error):
    net = conv_net()

    def batches():
        yield X[:40], Y[:40]
        torch.rand(3)
        raise error

    with untouched(net), pytest.raises(error):
        phiscope.measure_layers(net, batches())
    with untouched(net):
        phiscope.measure_layers(net, (X, Y), "*")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"maps": "mean"}, "maps is 'mean'"),
        ({"tokens": "cls"}, "tokens is 'cls'"),
        ({"channels": "middle"}, "channels is 'middle'"),
        ({"max_features": 0}, "max_features is 0"),
        ({"max_samples": 0}, "max_samples is 0"),
        ({"layers": []}, "layers is empty"),
        ({"layers": None}, "layers is a NoneType"),
        ({"layers": 3}, "layers is an int"),
        ({"layers": [3]}, "dotted layer names"),
    ],
)
def test_wrong_use_is_one_sentence(options, words):
    with pytest.raises(InputError, match=words):
        phiscope.measure_layers(conv_net(), (X, Y), **options)


def test_no_network_and_no_head():
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module"):
        phiscope.measure_layers(np.ones((3, 2)), (X, Y))
    with pytest.raises(NoHeadError):
        phiscope.measure_layers(nn.Sequential(nn.Flatten(), nn.Tanh()), (X, Y))


def test_half_precision():
    net = conv_net().bfloat16()
    layers = phiscope.measure_layers(net, (X.bfloat16(), Y))
    assert layers["head"].to_dict() == phiscope.measure(net, (X.bfloat16(), Y)).to_dict()
    told, outputs = by_hand(net, ["relu1"], X.bfloat16())
    twin = phiscope.diagonalize(told["relu1"][0].float().mean((2, 3)), outputs=outputs, targets=Y)
    assert layers["relu1"]["effective_dimension"] == pytest.approx(twin["effective_dimension"], rel=1e-4)


def test_intervals_come_from_the_same_pass():
    measured = phiscope.measure_layers(conv_net(), (X, Y), ["relu1"])["relu1"]
    low, high = measured.interval("participation_ratio")
    assert 1 <= low < high
    # Positions of one image stay in one shard, so they do not make an interval narrower than images do.
    together = phiscope.measure_layers(conv_net(), (X, Y), ["relu1"], maps="positions")["relu1"]
    shards = together.resampling.shards
    assert all(part.n_samples % 36 == 0 for part in shards)


def test_compiled_and_wrapped_networks():
    net = conv_net()
    layers = phiscope.measure_layers(nn.DataParallel(net), (X, Y), ["module.relu1", "head"])
    assert layers.to_dict() == phiscope.measure_layers(net, (X, Y), ["relu1", "head"]).to_dict()
