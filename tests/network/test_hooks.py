"""Hooks on somebody else's layers: what they hear, what they replace, and that they go however the block ends."""

import pytest
import torch
from torch import nn

import phiscope
from phiscope.network.hooks import listening, own_tensors, replacing, stand_ins
from untouched import untouched

X = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 3), nn.Linear(3, 3)).eval()


def test_calls_are_heard_in_order_with_weights_and_copies(net):
    with (
        torch.no_grad(),
        untouched(net),
        listening({"a": net[0], "b": net[2]}, keep_features=True, keep_outputs=True) as calls,
    ):
        net(X), net(X)
    (first, third), (second, fourth) = calls["a"], calls["b"]
    assert [call.order for call in (first, second, third, fourth)] == [0, 1, 2, 3]
    assert (first.shape, second.shape) == ((7, 6), (7, 3))
    assert torch.equal(first.features, X)
    # The activation in place wrote into what the first layer returned, and not into the copy.
    assert torch.equal(first.output, net[0](X))
    assert first.output.min() < 0
    assert torch.equal(second.features, net[:2](X))
    assert torch.equal(second.weight, net[2].weight)
    assert torch.equal(second.bias, net[2].bias)


def test_nothing_is_kept_unless_asked_for_and_layers_that_did_not_run_are_absent(net):
    with listening({"a": net[0], "silent": nn.Linear(2, 2)}) as calls:
        net(X)
    assert list(calls) == ["a"]
    assert calls["a"][0].features is calls["a"][0].output is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_hooks_go_however_the_block_ends(net, error):
    for block in (lambda: listening({"a": net[0]}), lambda: replacing(net[2], seed=0)):
        with untouched(net), pytest.raises(error), block():
            raise error


def test_a_replaced_layer_returns_numbers_of_its_own_generator(net):
    before = torch.get_rng_state()
    answers = []
    for seed in (0, 0, 1):
        with replacing(net[2], seed=seed) as returned:
            answers.append((net[:3](X), returned[0]))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(output, kept) for output, kept in answers)
    assert torch.equal(answers[0][0], answers[1][0])
    assert not torch.equal(answers[0][0], answers[2][0])
    assert not torch.allclose(net[:3](X), answers[0][0])


def test_own_tensors_are_the_models_own_once_each():
    tied = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    tensors = own_tensors(tied)
    assert "2.weight" not in tensors
    assert {"0.weight", "2.bias", "1.running_mean", "1.num_batches_tracked"} <= set(tensors)
    assert tensors["0.weight"].data_ptr() == tied[0].weight.data_ptr()
    assert not tensors["0.weight"].requires_grad


def test_stand_ins_are_made_for_another_device_only(net):
    assert stand_ins(net, None) is stand_ins(net, torch.device("cpu")) is None
    copies = stand_ins(net, torch.device("meta"))
    assert {tensor.device.type for tensor in copies.values()} == {"meta"}
    assert set(copies) == set(own_tensors(net))
    assert net[0].weight.device.type == "cpu"


def test_a_type_error_of_the_model_itself_stays_its_own():
    class Breaks(nn.Module):
        def forward(self, x):
            raise TypeError("no bread")

    with pytest.raises(TypeError, match="no bread"):
        phiscope.measure(nn.Sequential(Breaks(), nn.Linear(2, 2)), torch.zeros(4, 2))


class WantsBoth(nn.Module):
    """Forward takes the targets as well, under a name of its own."""

    def __init__(self):
        super().__init__()
        self.below, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x, y):
        return self.head(torch.relu(self.below(x)))


class WantsTheBatch(WantsBoth):
    """Forward takes the batch as one thing."""

    def forward(self, batch):
        x, _ = batch
        return self.head(torch.relu(self.below(x)))


@pytest.mark.parametrize(
    ("network", "takes", "mapped"),
    [(WantsBoth, "x, y", lambda x, y: {"x": x, "y": y}), (WantsTheBatch, "batch", lambda x, y: {"batch": (x, y)})],
)
def test_a_forward_that_takes_something_else_says_how_it_was_called_and_what_to_do(network, takes, mapped):
    """Its own error stays what it is; what is said beside it works."""
    x, y, model = torch.randn(60, 5), torch.arange(60) % 3, network()
    with pytest.raises((TypeError, ValueError)) as failed:
        phiscope.measure(model, [(x, y)])
    (said,) = failed.value.__notes__
    assert f"{network.__name__}.forward with a Tensor torch.float32 of shape (60, 5)" in said
    assert f"it takes {takes}. " in said
    assert phiscope.measure(model, [mapped(x, y)], targets=y)["nc1"] > 0


def test_a_forward_that_fails_by_itself_says_so_too():
    x = torch.randint(0, 255, (40, 5), dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="same dtype") as failed:
        phiscope.measure(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), [(x, torch.arange(40) % 3)])
    assert "with a Tensor torch.uint8 of shape (40, 5)" in failed.value.__notes__[0]
