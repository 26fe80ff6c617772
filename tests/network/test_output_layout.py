"""How a head's output becomes the model's: which rows, in which order, averaged or picked."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import HeadError
from phiscope.network.output_layout import relate, same_bits
from small_networks import IMAGES, TOKENS, Net, X, expected
from untouched import untouched


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


CALLS = {
    "the last counts": (lambda a, b: b, lambda p, q: q),
    "the first counts": (lambda a, b: a, lambda p, q: p),
    "joined": (lambda a, b: torch.cat([a, b]), lambda p, q: torch.cat([p, q])),
    "averaged": (lambda a, b: (a + b) / 2, lambda p, q: (p + q) / 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_head_called_twice(name):
    merge, of_features = CALLS[name]

    class Twice(Net):
        def forward(self, x):
            return merge(self.head(self.features(x)), self.head(self.features(x.flip(-1))))

    net = Twice()
    feature_map, head = phiscope.split(net, X)
    assert head.name == "head"
    wanted = of_features(expected(net, X), expected(net, X.flip(-1)))
    assert torch.allclose(feature_map(X), wanted, atol=1e-6)


POSITIONS = {
    "as they are": (lambda z: z, lambda phi: phi.flatten(0, 1), "as it is"),
    "flattened": (lambda z: z.flatten(0, 1), lambda phi: phi.flatten(0, 1), "as it is"),
    "classes second": (lambda z: z.transpose(1, 2), lambda phi: phi.flatten(0, 1), "as it is"),
    "time first": (lambda z: z.transpose(0, 1), lambda phi: phi.transpose(0, 1).flatten(0, 1), "exchanged"),
    "averaged": (lambda z: z.mean(1), lambda phi: phi.mean(1), "averaged"),
    "averaged, softmax": (lambda z: z.mean(1).softmax(-1), lambda phi: phi.mean(1), "averaged"),
    "last": (lambda z: z[:, -1], lambda phi: phi[:, -1], "one position"),
    "each its own": (
        lambda z: z[torch.arange(9), torch.arange(9) % 5],
        lambda phi: phi[torch.arange(9), torch.arange(9) % 5],
        "one position",
    ),
}


@pytest.mark.parametrize("zero", [False, True], ids=["random head", "head that starts at zero"])
@pytest.mark.parametrize("name", POSITIONS)
def test_positions(name, zero):
    merge, wanted, told = POSITIONS[name]
    net = Net(lambda net, phi, z: merge(z))
    if zero:
        nn.init.zeros_(net.head.weight)
    with untouched(net):
        feature_map, head = phiscope.split(net, TOKENS)
    assert told in head.layout
    assert torch.allclose(feature_map(TOKENS), wanted(expected(net, TOKENS)), atol=1e-6)


CONVOLUTIONS = {
    "1x1, map returned": ([nn.Conv2d(5, 2, 1)], 9 * 16),
    "1x1, then pooled": ([nn.Conv2d(5, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()], 9),
    "pooled, then 1x1": ([nn.AdaptiveAvgPool2d(1), nn.Conv2d(5, 2, 1), nn.Flatten()], 9),
    "pooled, then linear": ([nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(5, 2)], 9),
    "flattened, then linear": ([nn.Flatten(), nn.Linear(80, 2)], 9),
    "1x1 map, flattened": ([nn.Conv2d(5, 2, 1), nn.Flatten()], 9 * 16),
    "1x1 without bias, softmax over classes": ([nn.Conv2d(5, 2, 1, bias=False)], 9 * 16),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutional_networks(name):
    tail, rows = CONVOLUTIONS[name]
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), *tail)
    with untouched(net):
        feature_map, head = phiscope.split(net, IMAGES)
    features = feature_map(IMAGES)
    assert features.shape == (rows, head.weight.shape[1])
    assert head.kind == ("conv1x1" if "1x1" in name else "linear")


def test_rows_of_a_map_are_samples_first_then_height_then_width():
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 1))
    features = phiscope.split(net, IMAGES)[0](IMAGES)
    wanted = net[:2](IMAGES).permute(0, 2, 3, 1).reshape(-1, 5)
    assert torch.allclose(features, wanted, atol=1e-6)


def test_equal_numbers_are_the_same_and_nothing_else_is():
    """A shortcut before the comparison within rounding: where it says no, that comparison decides."""
    one = torch.tensor([[1.0, 0.0], [2.0, float("inf")]])
    assert same_bits(one, one.clone())
    for other in (one.double(), one[:1], one + 1e-6, torch.full_like(one, torch.nan)):
        assert not same_bits(one, other)
    nothing_known = torch.full((2, 2), torch.nan)
    assert not same_bits(nothing_known, nothing_known.clone())
    near = relate([one], one.double() + 1e-9, ())
    assert near is not None
    assert near.ending == "none"
    assert relate([one], one + 0.1, ()) is None


def test_outputs_whose_squares_leave_the_range_are_compared(tmp_path):
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(30, 4)
    with torch.no_grad():
        net[2].weight.mul_(1e30)
    assert torch.equal(phiscope.split(net, x).feature_map(x), net[:2](x))

    net[2].register_forward_hook(lambda layer, given, out: out * 1.001)
    with pytest.raises(HeadError, match="off by"):
        phiscope.split(net, x, head="2")
