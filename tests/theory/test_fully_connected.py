"""Networks read as the theory's, whatever their classes; everything else is refused by name."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from phiscope.errors import EmptyDataError, InputError, NonFiniteError
from phiscope.theory.fully_connected import read_network
from untouched import untouched

torch.manual_seed(0)
X = torch.randn(9, 6)


class Written(nn.Module):
    """Layers registered in another order than they run, with the activation as a function."""

    def __init__(self, activation):
        super().__init__()
        self.last = nn.Linear(8, 2, bias=False)
        self.first = nn.Linear(6, 7)
        self.second = nn.Linear(7, 8)
        self.activation = activation

    def forward(self, x):
        return self.last(self.activation(self.second(self.activation(self.first(x)))))


def chain(*between):
    return nn.Sequential(nn.Linear(6, 7), *between, nn.Linear(7, 2))


@pytest.mark.parametrize(
    ("activation", "name"), [(torch.erf, "erf"), (functional.relu, "relu"), (lambda h: h, "identity")]
)
def test_layers_come_in_forward_order_with_their_variances(activation, name):
    net = Written(activation)
    with untouched(net):
        found = read_network(net, X)
    assert found.activation == name
    assert [layer.name for layer in found.layers] == ["first", "second", "last"]
    assert [(layer.n_inputs, layer.n_units) for layer in found.layers] == [(6, 7), (7, 8), (8, 2)]
    assert found.layers[0].weight_variance == pytest.approx(6 * float(net.first.weight.detach().square().mean()))
    assert found.layers[1].bias_variance == pytest.approx(float(net.second.bias.detach().square().mean()))
    assert found.layers[2].bias_variance == 0.0
    with torch.no_grad():
        expected = activation(net.first(X)).double().numpy()
    np.testing.assert_allclose(found.hidden[0], expected)
    np.testing.assert_allclose(found.rows, X.double())


def test_torchs_default_initialization_is_a_third():
    found = read_network(nn.Sequential(nn.Linear(400, 500), nn.ReLU(), nn.Linear(500, 300)), None)
    assert found.weight_variances == pytest.approx((1 / 3, 1 / 3), rel=0.02)


def test_dropout_and_flatten_are_looked_through():
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 2)).train()
    with untouched(net):
        found = read_network(net, X.reshape(9, 2, 3))
    assert found.activation == "relu"
    assert found.rows.shape == (9, 6)


def test_positive_preactivations_alone_take_the_simpler_activation():
    net = chain(nn.ReLU())
    with torch.no_grad():
        net[0].bias.fill_(100.0)
    assert read_network(net, X).activation == "identity"


class Skipping(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x):
        h = torch.relu(self.a(x))
        return self.c(h + torch.relu(self.b(h)))


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.b(torch.relu(self.a(torch.relu(self.a(x)))))


REFUSED = {
    "another activation": (chain(nn.Tanh()), "what lies between '0' and '2' .*Tanh '1'"),
    "two activations": (
        nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 7), nn.Linear(7, 2)),
        "what lies between '2' and '3' is not the one activation",
    ),
    "a convolution": (nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2)), "'0' is a Conv1d"),
    "batch norm": (chain(nn.BatchNorm1d(7), nn.ReLU()), "'1' is a BatchNorm1d"),
    "one layer": (nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), "has 1 linear layers, expected two or more"),
    "something behind the last layer": (
        nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 2), nn.Softmax(1)),
        "the model's output is not that of its last linear layer",
    ),
    "a skip": (Skipping(), "what lies between 'b' and 'c' is not the one activation"),
    "a layer that runs twice": (Twice(), "the layer 'a' ran 2 times, expected once"),
    "low precision": (chain(nn.ReLU()).bfloat16(), "the network is in torch.bfloat16; expected float32 or float64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_else_is_refused_by_name(case):
    net, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as caught:
        read_network(net, X)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_or_nothing():
    net = chain(nn.ReLU())
    with torch.no_grad():
        net[2].weight[0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="weights of '2' hold NaN or Inf"):
        read_network(net, X)
    with torch.no_grad():
        net[2].weight.zero_()
    with pytest.raises(InputError, match="weights of '2' are zero everywhere"):
        read_network(net, X)


def test_no_sample_and_no_row():
    with pytest.raises(EmptyDataError, match="hold no sample"):
        read_network(chain(nn.ReLU()), X[:0])
    with pytest.raises(InputError, match=r"does not take rows of numbers .*pass inputs="):
        read_network(nn.Sequential(nn.Unflatten(1, (3, 5)), nn.Flatten(), nn.Linear(6, 7), nn.Linear(7, 2)), None)
