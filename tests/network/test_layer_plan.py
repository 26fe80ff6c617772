"""How a layer is read is decided on the first batch, or refused in one sentence."""

import pytest
import torch
from torch import nn

import phiscope
from layered_networks import FLAT, TOKENS, X, Y, by_hand, conv_net, same
from phiscope.errors import InputError, ShapeError
from untouched import untouched


def test_sequences_of_a_convolution_have_their_features_second():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(5, 7, 1), nn.Tanh(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(7, 3))
    x = TOKENS.transpose(1, 2)
    measured = phiscope.measure_layers(net, (x, Y), ["0", "1"])
    told, outputs = by_hand(net, ["0", "1"], x)
    for name in ("0", "1"):
        assert same(measured[name], phiscope.diagonalize(told[name][0].mean(2), outputs=outputs, targets=Y))
    # Seven positions and seven channels: the last layer with weights decides, and can be overruled.
    last = phiscope.measure_layers(net, (x, Y), ["1"], channels="last")["1"]
    assert same(last, phiscope.diagonalize(told["1"][0].mean(1), outputs=outputs, targets=Y))
    assert not same(last, measured["1"])


def test_the_first_tensor_of_a_tuple_is_taken_and_said():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.inner(x)[0][:, -1])

    torch.manual_seed(0)
    measured = phiscope.measure_layers(Pair(), (TOKENS, Y), ["inner"], tokens="last")["inner"]
    assert "first tensor at [0]" in measured.provenance["layer"]
    assert measured.n_features == 4


def test_an_output_that_is_no_tensor_or_not_of_the_batch():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.text, self.table, self.head = _Text(), nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, x):
            self.text(x)
            return self.head(x + self.table(torch.arange(7)).mean(0))

    class _Text(nn.Module):
        def forward(self, x):
            return "done"

    with pytest.raises(InputError, match="no floating tensor"):
        phiscope.measure_layers(Odd(), (FLAT, Y), ["text"])
    with pytest.raises(InputError, match=r"shape \(7, 4\), whose first axis is not the 96 inputs"):
        phiscope.measure_layers(Odd(), (FLAT, Y), ["table"])
    assert "whose first axis" in phiscope.measure_layers(Odd(), (FLAT, Y)).left_out["table"]


def test_a_map_too_large_to_flatten_is_one_sentence():
    net = conv_net()
    with untouched(net), pytest.raises(InputError, match=r"flattened has p = 216 .* max_features = 100.*pool its map"):
        phiscope.measure_layers(net, (X, Y), ["relu1"], maps="flattened", max_features=100)
    with pytest.raises(InputError, match="'head' has p = 4 features"):
        phiscope.measure_layers(net, (X, Y), ["head"], max_features=3)


def test_inputs_of_several_sizes_pool_but_do_not_flatten():
    net = conv_net()
    batches = [(X[:40], Y[:40]), (torch.cat([X, X], 2)[:40], Y[:40])]
    assert phiscope.measure_layers(net, batches, ["conv2"])["conv2"].n_samples == 80
    with untouched(net), pytest.raises(ShapeError, match=r"'conv2' has p = 48 features in batch 1 and 16 before"):
        phiscope.measure_layers(net, batches, ["conv2"], maps="flattened")
