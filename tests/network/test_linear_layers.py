"""Which layers are linear, and their weights as one matrix."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import HeadError
from phiscope.network.linear_layers import linear_kind
from small_networks import Net, X
from untouched import untouched


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_a_lazy_layer_is_refused_unchanged():
    net = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(HeadError, match="'0' is lazy"):
        phiscope.split(net, X)
    assert isinstance(net[0], nn.LazyLinear)


def test_a_weight_that_is_made_anew_in_each_pass():
    net = Net()
    nn.utils.parametrizations.weight_norm(net.head)
    with untouched(net):
        feature_map, head = phiscope.split(net, X)
    assert torch.allclose(head(feature_map(X)), net.eval()(X), atol=1e-6)


class Conv1D(nn.Module):
    """transformers' linear layer, which keeps its weight transposed."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf, self.nx = nf, nx
        self.weight, self.bias = nn.Parameter(torch.randn(nx, nf)), nn.Parameter(torch.randn(nf))

    def forward(self, x):
        return x @ self.weight + self.bias


def test_a_transposed_linear_layer():
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), Conv1D(3, 6))
    feature_map, head = phiscope.split(net, X)
    assert head.weight.shape == (3, 6)
    assert torch.allclose(head(feature_map(X)), net(X), atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 2, 1), "conv1x1"),
        (nn.Conv1d(4, 2, 1, padding="same"), "conv1x1"),
        (nn.Conv2d(4, 2, 3), None),
        (nn.Conv2d(4, 2, 1, stride=2), None),
        (nn.Conv2d(4, 2, 1, padding=1), None),
        (nn.Conv2d(4, 2, 1, groups=2), None),
        (nn.Bilinear(2, 2, 2), None),
        (nn.Embedding(2, 2), None),
    ],
)
def test_what_counts_as_linear(layer, kind):
    assert linear_kind(layer) == kind


class Scaled(nn.Linear):
    """Takes another argument, so that it cannot be asked with one."""

    def forward(self, x, scale):
        return scale * nn.functional.linear(x, self.weight, self.bias)


class Adapted(nn.Linear):
    """A linear layer with a low-rank adapter that is left out now and then (here never), and counts its calls."""

    def __init__(self):
        super().__init__(6, 3)
        self.down, self.up = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(3, 2))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        kept = torch.rand(()) >= 0
        self.calls += 1
        return super().forward(x) + kept * (x @ self.down.T @ self.up.T)


class WithAnswer(nn.Module):
    """A body and a head that is called as somebody says."""

    def __init__(self, head, call):
        super().__init__()
        self.body, self.head, self.call = nn.Sequential(nn.Linear(4, 6), nn.Tanh()), head, call

    def forward(self, x):
        return self.call(self.head, self.body(x))


def test_a_layer_that_cannot_be_asked_is_compared_with_its_weight():
    plain = WithAnswer(Scaled(6, 3), lambda head, phi: head(phi, 1.0))
    head = phiscope.split(plain, X)[1]
    assert torch.equal(head.weight, plain.head.weight)
    twice = WithAnswer(Scaled(6, 3), lambda head, phi: head(phi, 2.0))
    with pytest.raises(HeadError):
        phiscope.split(twice, X)


def test_a_convolution_on_one_map_of_a_named_layer_is_asked_in_its_own_dimensions():
    class Own(nn.Conv2d):
        def forward(self, x):
            return super().forward(x) + 0.0

    net = WithAnswer(Own(6, 3, 1), lambda head, phi: head(phi[:, :, None, None]).flatten(1))
    phi = net.body(X).detach()
    measured = phiscope.measure(net, X, features="body", head="head")
    by_hand = phiscope.diagonalize(phi, head=(net.head.weight.detach().flatten(1), net.head.bias.detach()))
    assert measured["dynamical_low_rank"] == pytest.approx(by_hand["dynamical_low_rank"], rel=1e-5)


def test_asking_a_layer_within_a_training_changes_no_random_number(tmp_path):
    def trained(observed):
        torch.manual_seed(0)
        net = WithAnswer(Adapted(), lambda head, phi: head(phi))
        labels = torch.arange(len(X)) % 3
        step = torch.optim.SGD(net.parameters(), lr=0.1)
        observer = phiscope.PassiveObserver(net, (X, labels), run=tmp_path / "r") if observed else None
        for _ in range(3):
            step.zero_grad()
            with observer.batch((X, labels)) if observer else nullcontext():
                loss = nn.functional.cross_entropy(net(X), labels)
            loss.backward()
            step.step()
        if observer:
            assert observer.record(epoch=0)["output_rank"] == 2
            observer.close()
        return [*net.state_dict().values(), torch.get_rng_state()]

    assert all(torch.equal(a, b) for a, b in zip(trained(False), trained(True), strict=True))
