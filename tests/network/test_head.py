"""Where the head is: every way a head's output becomes the model's output, and every way it does not."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import AmbiguousHeadError, EmptyDataError, HeadError, NoHeadError, NonFiniteError
from phiscope.network.linear_layers import linear_kind
from untouched import untouched

X = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(9, 3, 6, 6, generator=torch.Generator().manual_seed(1))
TOKENS = torch.randn(9, 5, 4, generator=torch.Generator().manual_seed(2))
Named = namedtuple("Named", ["prediction", "step"])


@dataclass
class Answer:
    loss: float
    logits: torch.Tensor
    hidden: tuple


class Net(nn.Module):
    """Body, head, and a function of (net, features, head output) that makes the output."""

    def __init__(self, ending=lambda net, phi, z: z, width=4, outputs=3):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, 6), nn.Tanh())
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(6, outputs)
        self.ending = ending

    def features(self, x):
        return self.dropout(self.body(x))

    def forward(self, x):
        phi = self.features(x)
        return self.ending(self, phi, self.head(phi))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def expected(net, x):
    net.eval()
    with torch.no_grad():
        return net.features(x)


ENDINGS = {
    "as it is": lambda net, phi, z: z,
    "flattened": lambda net, phi, z: z.flatten(),
    "unsqueezed": lambda net, phi, z: z[:, None, :],
    "a copy": lambda net, phi, z: z.clone(),
    "double": lambda net, phi, z: z.double(),
    "half": lambda net, phi, z: z.half(),
    "softmax": lambda net, phi, z: z.softmax(-1),
    "log-softmax": lambda net, phi, z: z.log_softmax(-1),
    "sigmoid": lambda net, phi, z: z.sigmoid(),
    "tuple": lambda net, phi, z: (z, phi),
    "second of a tuple": lambda net, phi, z: (phi, z),
    "nested": lambda net, phi, z: [{"out": (None, z)}, 3],
    "named tuple": lambda net, phi, z: Named(z, 3),
    "mapping": lambda net, phi, z: {"out": z, "features": phi},
    "dataclass": lambda net, phi, z: Answer(0.0, z, (phi,)),
    "logits beside an equal layer": lambda net, phi, z: {"hidden": net.body[0](X), "logits": z},
    "logits and probabilities": lambda net, phi, z: (z.softmax(-1), z),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_the_head_is_found_through(name):
    net = Net(ENDINGS[name])
    with untouched(net):
        feature_map, head = phiscope.split(net, X)
    assert head.name == "head"
    assert head.kind == "linear"
    assert torch.equal(head.weight, net.head.weight)
    assert torch.equal(head.bias, net.head.bias)
    assert set(head.candidates) == {"body.0", "head"}
    assert torch.equal(feature_map(X), expected(net, X))


CHANGED = {
    "relu": lambda net, phi, z: z.relu(),
    "in-place relu": lambda net, phi, z: z.relu_(),
    "scaled": lambda net, phi, z: 2 * z,
    "scaled in place": lambda net, phi, z: z.mul_(2),
    "residual": lambda net, phi, z: z + phi[:, :3],
    "sliced": lambda net, phi, z: z[:, :2],
    "product": lambda net, phi, z: z * z,
    "sum": lambda net, phi, z: z.sum(-1),
    "normalized": lambda net, phi, z: z / z.norm(dim=-1, keepdim=True),
    "features only": lambda net, phi, z: phi,
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_output_is_not_the_head(name):
    net = Net(CHANGED[name])
    with untouched(net), pytest.raises(NoHeadError, match="'head' returned") as caught:
        phiscope.split(net, X)
    assert "head" in caught.value.candidates
    assert "head=" in str(caught.value)


@pytest.mark.parametrize("name", CHANGED)
def test_a_chosen_head_is_checked(name):
    with pytest.raises(NoHeadError, match="chosen layer does not"):
        phiscope.split(Net(CHANGED[name]), X, head="head")


def test_a_head_that_starts_at_zero_is_not_mistaken():
    class TwoZeros(nn.Module):
        def __init__(self):
            super().__init__()
            self.early, self.head, self.late = (nn.Linear(4, 3) for _ in range(3))
            for layer in (self.early, self.head, self.late):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            x = x + self.early(x).sum(-1, keepdim=True)
            z = self.head(x)
            self.late(x)
            return z.clone()

    feature_map, head = phiscope.split(TwoZeros(), X)
    assert head.name == "head"
    assert torch.equal(feature_map(X), X)


def test_the_last_of_two_that_agree():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3, bias=False), nn.Identity())
    nn.init.eye_(net[1].weight)
    assert phiscope.split(net, X)[1].name == "1"


def two_heads(merge):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 2)

        def forward(self, x):
            return merge(self.left(x.tanh()), self.right(x.tanh()))

    return Two()


def test_two_heads_need_a_choice():
    net = two_heads(lambda a, b: (a, b))
    with untouched(net), pytest.raises(AmbiguousHeadError, match="choose one with head=") as caught:
        phiscope.split(net, X)
    assert caught.value.candidates == ("left", "right")
    for choice in ("left", net.left):
        assert phiscope.split(net, X, head=choice)[1].weight.shape == (3, 4)
    assert phiscope.split(net, X, head="right")[1].name == "right"


def test_logits_come_first():
    net = two_heads(lambda a, b: {"auxiliary": a, "logits": b})
    assert phiscope.split(net, X)[1].name == "right"
    assert phiscope.split(net, X, head="left")[1].name == "left"


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("haed", "no layer named 'haed'.*'head'"),
        ("body.1", "Tanh, not a linear layer"),
        ("body", r"inside it are 'body\.0'"),
        (nn.Linear(6, 3), "not a layer of this model"),
        ("body.0", "chosen layer does not produce"),
    ],
)
def test_a_wrong_choice_says_what_to_do(head, message):
    net = Net()
    with untouched(net), pytest.raises(NoHeadError, match=message):
        phiscope.split(net, X, head=head)


def test_a_model_without_linear_layers():
    with pytest.raises(NoHeadError, match="no linear layer or 1x1 convolution"):
        phiscope.split(nn.Sequential(nn.Flatten(), nn.ReLU()), X)


def test_an_output_without_tensors():
    with pytest.raises(HeadError, match="returned a int without"):
        phiscope.split(Net(lambda net, phi, z: 3), X)


def test_a_layer_that_does_not_run_as_a_module():
    net = Net(lambda net, phi, z: nn.functional.linear(phi, net.head.weight))
    with pytest.raises(NoHeadError):
        phiscope.split(net, X)
    direct = Net(lambda net, phi, z: net.other(phi))
    direct.other, direct.forward = nn.Linear(6, 3), lambda x: direct.other.forward(direct.features(x))
    with pytest.raises(NoHeadError, match="'other' did not run"):
        phiscope.split(direct, X)


def test_a_lazy_layer_is_refused_unchanged():
    net = nn.Sequential(nn.LazyLinear(5), nn.ReLU(), nn.Linear(5, 2))
    with pytest.raises(HeadError, match="'0' is lazy"):
        phiscope.split(net, X)
    assert isinstance(net[0], nn.LazyLinear)


def test_no_bias_tied_weights_and_the_model_itself():
    net = Net()
    net.head = nn.Linear(6, 3, bias=False)
    assert phiscope.split(net, X)[1].bias is None
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    feature_map, head = phiscope.split(tied, X)
    assert head.name == "2"
    assert torch.allclose(head(feature_map(X)), tied(X), atol=1e-6)
    feature_map, head = phiscope.split(nn.Linear(4, 2), X)
    assert head.name == ""
    assert torch.equal(feature_map(X), X)


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


def test_a_hook_that_changes_the_head_is_noticed():
    net = Net()
    net.head.register_forward_hook(lambda module, args, output: 2 * output)
    with pytest.raises(HeadError, match=r"not the model's output of batch 0.*changed by a hook"):
        phiscope.split(net, X)


def test_a_linear_subclass_that_is_not_linear_is_noticed():
    class Cosine(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(nn.functional.normalize(x), nn.functional.normalize(self.weight))

    net = Net()
    net.head = Cosine(6, 3)
    with pytest.raises(HeadError, match="more than rounding explains"):
        phiscope.split(net, X)


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
    with pytest.raises(EmptyDataError, match="first batch"):
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


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 5),
    width=st.integers(1, 5),
    outputs=st.integers(1, 5),
    name=st.sampled_from(sorted({*ENDINGS} - {"logits beside an equal layer"})),
    seed=st.integers(0, 100),
)
def test_any_small_shape(size, width, outputs, name, seed):
    torch.manual_seed(seed)
    net = Net(ENDINGS[name], width=width, outputs=outputs)
    if outputs == 1 and "softmax" in name:
        return  # a softmax of one output is 1 everywhere: nothing to find
    x = torch.randn(size, width)
    feature_map, head = phiscope.split(net, x)
    assert head.name == "head"
    assert torch.equal(feature_map(x), expected(net, x))
