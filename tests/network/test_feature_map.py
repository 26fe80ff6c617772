"""The feature map: features of any batch, of wrapped and compiled models, in any precision."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import EmptyDataError, HeadError, NonFiniteError
from small_networks import Net, X, expected
from untouched import untouched


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_features_are_copied_before_the_model_writes_into_them():
    class Writes(Net):
        def forward(self, x):
            phi = self.features(x)
            z = self.head(phi)
            phi.zero_()
            return z

    net = Writes()
    assert torch.equal(phiscope.split(net, X)[0](X), expected(net, X))


@pytest.mark.parametrize("compile_model", [lambda net: torch.compile(net, backend="eager"), nn.DataParallel])
def test_wrapped_models(compile_model):
    net = Net()
    wrapped = compile_model(net)
    wrapped(X)
    with untouched(net):
        feature_map, head = phiscope.split(wrapped, X)
    assert head.name == "head"
    assert phiscope.split(wrapped, X, head="module.head")[1].name == "head"
    assert torch.equal(feature_map(X), expected(net, X))


def test_parts_that_are_compiled():
    net = Net()
    net.body = torch.compile(net.body, backend="eager")
    net.head = torch.compile(net.head, backend="eager")
    with torch.no_grad():
        net(X)
    feature_map, head = phiscope.split(net, X)
    assert head.name == "head._orig_mod"
    assert torch.equal(feature_map(X), expected(net, X))
    in_place = Net()
    in_place.compile(backend="eager")
    in_place(X)
    assert phiscope.split(in_place, X)[1].name == "head"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    net = Net().to(dtype)
    feature_map, head = phiscope.split(net, X.to(dtype))
    assert feature_map(X.to(dtype)).dtype == dtype
    assert head.weight.dtype == dtype


@pytest.mark.parametrize("back", [True, False])
def test_a_model_that_switches_autocast_on_itself(back):
    class Mixed(Net):
        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                z = self.head(self.features(x).float())
            return z.float() if back else z

    feature_map, head = phiscope.split(Mixed(width=64), torch.randn(50, 64))
    assert head.name == "head"
    assert feature_map(torch.randn(5, 64)).shape == (5, 6)


def test_inside_inference_mode():
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).train()
    with torch.inference_mode(), untouched(net):
        _, head = phiscope.split(net, X)
    assert head.name == "3"
    net(X).sum().backward()  # the parameters still take gradients


def test_a_first_batch_without_samples():
    with pytest.raises(EmptyDataError, match="no batch"):
        phiscope.split(Net(), [torch.empty(0, 4)])


def test_nan_is_named():
    net = Net()
    with untouched(net), pytest.raises(NonFiniteError, match="batch 0 hold NaN") as caught:
        phiscope.split(net, X / 0)
    assert (caught.value.where, caught.value.batch) == ("features", 0)


def test_the_feature_map_follows_the_model_and_the_head_is_a_copy():
    net = Net()
    feature_map, head = phiscope.split(net, X)
    with torch.no_grad():
        net.body[0].weight.mul_(2)
        net.head.weight.zero_()
    assert torch.equal(feature_map(X), expected(net, X))
    assert head.weight.abs().sum() > 0


def test_features_of_other_inputs_and_sizes():
    net = Net(lambda net, phi, z: z.softmax(-1))
    feature_map, _ = phiscope.split(net, X)
    for size in (1, 2, 50):
        x = torch.randn(size, 4)
        assert torch.allclose(feature_map(x), expected(net, x), atol=1e-6)


class Picks(nn.Module):
    """One position of each sample, after padding."""

    def __init__(self, width, lengths):
        super().__init__()
        self.body, self.head, self.lengths = nn.Linear(4, 6), nn.Linear(6, width), lengths

    def forward(self, x):
        return self.head(self.body(x).tanh())[torch.arange(len(x)), self.lengths - 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("zero", [False, True])
def test_the_picked_position_is_found_in_any_precision_also_for_one_output(dtype, width, zero):
    lengths = torch.randint(2, 60, (40,))
    net, x = Picks(width, lengths).to(dtype), torch.randn(40, 60, 4).to(dtype)
    if zero:
        nn.init.zeros_(net.head.weight)
    with untouched(net):
        found = phiscope.split(net, x).feature_map(x)
    assert torch.equal(found, net.body(x).tanh()[torch.arange(40), lengths - 1])


def test_the_picked_position_is_found_among_thousands():
    lengths = torch.randint(2, 4000, (64,))
    net, x = Picks(1, lengths), torch.randn(64, 4000, 4)
    found = phiscope.split(net, x).feature_map(x)
    assert torch.equal(found, net.body(x).tanh()[torch.arange(64), lengths - 1])


@pytest.mark.parametrize(
    ("where", "spoil"),
    [
        ("the head's biases", lambda head: head.bias.data.__setitem__(0, torch.nan)),
        ("the head's weights", lambda head: head.weight.data.fill_(torch.inf)),
        ("the head's numbers", lambda head: head.weight.data.mul_(1e37)),
        ("the outputs", lambda head: head.register_forward_hook(lambda layer, taken, told: told * torch.nan)),
    ],
)
def test_a_head_that_diverged_is_called_that(where, spoil):
    net = Net(lambda net, phi, z: z)
    spoil(net.head)
    with pytest.raises(NonFiniteError, match="diverged") as caught:
        phiscope.measure(net, X)
    assert caught.value.where == where


@pytest.mark.parametrize("width", [3, 5])
def test_a_head_that_was_replaced_is_said(tmp_path, width):
    net = Net()
    feature_map, _ = phiscope.split(net, X)
    net.head = nn.Linear(net.head.in_features, width)
    with (
        untouched(net),
        pytest.raises(HeadError, match="'head' is no longer a layer of the network, which was changed"),
    ):
        feature_map(X)
