"""Where the head is: every way a head's output becomes the model's output, and every way it does not."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import phiscope
from phiscope.errors import AmbiguousHeadError, HeadError, NoHeadError
from small_networks import Net, X, expected
from untouched import untouched

Named = namedtuple("Named", ["prediction", "step"])


@dataclass
class Answer:
    loss: float
    logits: torch.Tensor
    hidden: tuple


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


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


FOLLOWED = ("scaled", "scaled in place", "normalized")
"""What a head's own outputs go through without losing their order: logits all the same."""


@pytest.mark.parametrize("name", sorted({*CHANGED} - {*FOLLOWED}))
def test_a_changed_output_is_not_the_head(name):
    net = Net(CHANGED[name])
    with untouched(net), pytest.raises(NoHeadError) as caught:
        phiscope.split(net, X)
    # What fits in shape is named before what does not.
    said = {"sliced": "'head' returned", "sum": "'head' returned", "features only": "of fitting shape are 'body.0'"}
    assert said.get(name, "of fitting shape are 'head', the last") in str(caught.value)
    assert caught.value.candidates[0] == ("body.0" if name == "features only" else "head")
    assert "head=" in str(caught.value)


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_last_layer_of_fitting_shape_is_taken_with_its_own_outputs(name):
    net = Net(CHANGED[name])
    with untouched(net):
        feature_map, head = phiscope.split(net, X)
    assert head.name == "head"
    assert "the layer's own output" in head.layout
    assert torch.equal(feature_map(X), expected(net, X))


@pytest.mark.parametrize("name", CHANGED)
def test_a_chosen_head_counts_with_its_own_outputs(name):
    net = Net(CHANGED[name])
    with untouched(net):
        feature_map, head = phiscope.split(net, X, head="head")
    assert "the layer's own output" in head.layout
    assert torch.equal(head.weight, net.head.weight)
    assert torch.equal(feature_map(X), expected(net, X))


class Adapted(nn.Module):
    """A linear layer with a low-rank addition: linear, and no class that anybody knows."""

    def __init__(self, width, outputs):
        super().__init__()
        self.base = nn.Linear(width, outputs)
        self.down, self.up = nn.Linear(width, 2, bias=False), nn.Linear(2, outputs, bias=False)

    def forward(self, x):
        return self.base(x) + 0.5 * self.up(self.down(x))


class Foreign(nn.Module):
    """A linear layer that keeps its matrix the other way round, under a name of its own."""

    def __init__(self, width, outputs):
        super().__init__()
        self.w, self.c = nn.Parameter(torch.randn(width, outputs)), nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return x @ self.w + self.c


@pytest.mark.parametrize("kind", [Adapted, Foreign])
def test_what_is_linear_is_a_head(kind):
    net = Net().eval()
    net.head = kind(6, 3)
    with untouched(net):
        feature_map, head = phiscope.split(net, X, head="head")
    assert torch.allclose(head(feature_map(X)), net(X), atol=1e-5)
    if kind is Foreign:
        assert torch.allclose(head.weight, net.head.w.T, atol=1e-6)
        assert phiscope.split(net, X)[1].name == "head"


def test_layers_of_equal_shape_are_named_before_all_others():
    net = Net()
    net.head = Adapted(6, 3)
    with pytest.raises(NoHeadError, match=r"of fitting shape are 'head\.up', 'head\.base'"):
        phiscope.split(net, X)


def test_a_layer_may_end_in_its_own_softmax():
    class Ended(nn.Linear):
        def forward(self, x):
            return super().forward(x).softmax(-1)

    net = Net().eval()
    net.head = Ended(6, 3)
    feature_map, head = phiscope.split(net, X)
    assert head.layout.endswith("then softmax")
    assert torch.allclose(head(feature_map(X)).softmax(-1), net(X), atol=1e-6)


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


def test_an_actor_and_a_critic_beside_a_number_of_the_first_need_a_choice():
    """The entropy follows the logits as well, which makes their layer no inner one."""

    def merge(logits, value):
        return logits, torch.distributions.Categorical(logits=logits).entropy(), value

    net = two_heads(merge)
    with pytest.raises(AmbiguousHeadError) as caught:
        phiscope.split(net, X)
    assert caught.value.candidates == ("left", "right")
    assert phiscope.split(net, X, head="left")[1].weight.shape == (3, 4)


def test_parts_of_the_output_that_are_not_read_are_named():
    net = two_heads(lambda a, b: {"auxiliary": a, "logits": b})
    assert phiscope.measure(net, X).provenance["not_read"] == "output['auxiliary'] (9, 3)"
    assert "not_read" not in phiscope.measure(two_heads(lambda a, b: b), X).provenance


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
        (3, "head is an int"),
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
    with pytest.raises(HeadError, match="returned an int without"):
        phiscope.split(Net(lambda net, phi, z: 3), X)


def test_a_layer_that_does_not_run_as_a_module():
    net = Net(lambda net, phi, z: nn.functional.linear(phi, net.head.weight))
    with pytest.raises(NoHeadError):
        phiscope.split(net, X)
    direct = Net(lambda net, phi, z: net.other(phi))
    direct.other, direct.forward = nn.Linear(6, 3), lambda x: direct.other.forward(direct.features(x))
    with pytest.raises(NoHeadError, match="'other' did not run"):
        phiscope.split(direct, X)


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
    with pytest.raises(HeadError, match="not be linear; features without a head"):
        phiscope.split(net, X)


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


class Parts(nn.Module):
    """An embedding and, from it, what a function of the parts makes of it."""

    def __init__(self, answer):
        super().__init__()
        self.body, self.emb, self.head = nn.Sequential(nn.Linear(4, 9), nn.ReLU()), nn.Linear(9, 5), nn.Linear(5, 3)
        self.prototypes, self.answer = nn.Parameter(torch.randn(3, 5)), answer

    def forward(self, x):
        z = self.emb(self.body(x))
        return self.answer(self, z)


INNER = {
    "distances to prototypes": lambda net, z: (-torch.cdist(z, net.prototypes), z),
    "embedding first": lambda net, z: (z, -torch.cdist(z, net.prototypes)),
    "cosine": lambda net, z: {"scores": torch.cosine_similarity(z[:, None], net.prototypes, -1), "z": z},
}


@pytest.mark.parametrize("name", INNER)
def test_a_layer_from_whose_part_of_the_output_another_is_made_is_no_head(name):
    net = Parts(INNER[name])
    with untouched(net), pytest.raises(NoHeadError, match=r"shape \((\d+), 3\)"):
        phiscope.split(net, X)
    # By name it is what was asked for.
    assert phiscope.split(net, X, head="emb").head.name == "emb"


OUTER = {
    "temperature": (lambda net, z: {"scores": net.head(z.relu()) / 2, "z": z}, "the layer's own output"),
    "the same, embedding first": (lambda net, z: (z, net.head(z.relu()) / 2), "the layer's own output"),
    "one output of a function": (lambda net, z: (z, net.head(z.relu())[:, :1] * 2), None),
    "plain": (lambda net, z: (z, net.head(z.relu())), "output[1]: as it is"),
    "with an entropy": (
        lambda net, z: (net.head(z), torch.distributions.Categorical(logits=net.head(z)).entropy()),
        "output[0]: call -2 from the end, as it is",
    ),
    "with noise": (lambda net, z: (net.head(z), torch.randn(len(z), 4)), "output[0]: as it is"),
    "with a scaled copy": (lambda net, z: [h := net.head(z), h / 3], "output[0]: as it is"),
}


@pytest.mark.parametrize("name", OUTER)
def test_the_last_linear_layer_is_the_head_although_the_output_shows_an_earlier_one(name):
    answer, layout = OUTER[name]
    net = Parts(answer)
    if layout is None:
        with pytest.raises(NoHeadError):
            phiscope.split(net, X)
        return
    head = phiscope.split(net, X).head
    assert head.name == "head"
    assert head.layout.startswith(layout)


class Quarter(nn.Linear):
    def forward(self, x):
        return super().forward(x * 0.25)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x) + 1


class Standardized(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, (self.weight - self.weight.mean()) / self.weight.std(), self.bias)


class StandardizedMap(nn.Conv2d):
    def forward(self, x):
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return self._conv_forward(x, weight, self.bias)


class QuietMap(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight * 0.5, bias)


@pytest.mark.parametrize("kind", [Quarter, Doubled, Standardized])
def test_a_linear_layer_with_a_forward_of_its_own_is_asked_for_its_matrix(kind):
    net = Net(lambda net, phi, z: z)
    net.head = kind(net.head.in_features, net.head.out_features)
    feature_map, head = phiscope.split(net, X)
    assert head.kind == "probed"
    assert torch.allclose(head(feature_map(X)), net.eval()(X), atol=1e-6)


@pytest.mark.parametrize("kind", [StandardizedMap, QuietMap])
def test_so_is_a_pointwise_convolution(kind):
    net = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), kind(6, 3, 1))
    maps = torch.randn(5, 2, 6, 6)
    feature_map, head = phiscope.split(net, maps)
    assert torch.allclose(head(feature_map(maps)), net(maps).movedim(1, -1).reshape(-1, 3), atol=1e-6)


class Decoder(nn.Module):
    """A head called at every step, its answers put together on one axis."""

    def __init__(self, axis, after=lambda z: z):
        super().__init__()
        self.cell, self.head, self.axis, self.after = nn.GRUCell(8, 6), nn.Linear(6, 3), axis, after

    def forward(self, x):
        state, told = torch.zeros(len(x), 6), []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            told.append(self.head(state))
        return self.after(torch.stack(told, self.axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("after", [lambda z: z, lambda z: z.log_softmax(-1)], ids=["as it is", "log-softmax"])
def test_every_call_of_a_step_by_step_head_is_a_position(axis, after):
    if axis == 2 and after(torch.zeros(2, 2, 2))[0, 0, 0] != 0:
        pytest.skip("the last axis is time")
    net, x = Decoder(axis, after), torch.randn(20, 7, 8)
    measured = phiscope.measure(net, [x])
    assert measured.n_samples == 140
    with torch.no_grad():
        state, states = torch.zeros(20, 6), []
        for step in range(7):
            state = net.cell(x[:, step], state)
            states.append(state)
    assert measured.feature_mean == pytest.approx(torch.cat(states).mean(0).numpy(), abs=1e-6)


def test_labels_of_a_step_by_step_head_stand_at_their_positions():
    net, x = Decoder(1), torch.randn(20, 7, 8)
    labels = net(x).argmax(-1)
    found = phiscope.measure(net, [(x, labels)])
    shuffled = phiscope.measure(net, [(x, labels.T.reshape(20, 7))])
    assert found["readout_r2"] > shuffled["readout_r2"] + 0.1


def test_of_several_calls_that_are_not_put_together_the_last_is_named():
    net = Decoder(1, lambda z: z.sum(1).exp())
    assert "the last of its 7 calls" in phiscope.split(net, torch.randn(20, 7, 8), head="head").head.layout


class TimeFirst(nn.Module):
    """Time first inside, samples first outside, behind a function."""

    def __init__(self, after=lambda z: z / 2):
        super().__init__()
        self.body, self.head, self.after = nn.Linear(8, 6), nn.Linear(6, 3), after

    def forward(self, x, attention_mask=None):
        return self.after(self.head(self.body(x.transpose(0, 1)).tanh()).transpose(0, 1))


@pytest.mark.parametrize("steps", [7, 20])
@pytest.mark.parametrize("name", [None, "head"])
def test_own_outputs_of_a_time_first_head_come_samples_first(steps, name):
    net, x = TimeFirst(), torch.randn(20, steps, 8)
    mask = torch.ones(20, steps)
    mask[:, 4:] = 0
    measured = phiscope.measure(net, [{"x": x, "attention_mask": mask}], head=name)
    wanted = net.body(x).tanh()[:, :4].reshape(-1, 6).mean(0)
    assert measured.n_samples == 80
    assert measured.feature_mean == pytest.approx(wanted.detach().numpy(), abs=1e-6)


def test_own_outputs_behind_what_tells_no_order_are_read_by_the_number_of_inputs():
    net, x = TimeFirst(lambda z: z.sin()), torch.randn(20, 7, 8)
    labels = torch.arange(20)[:, None].expand(20, 7) % 3
    measured = phiscope.measure(net, [(x, labels)], head="head")
    assert measured.provenance["targets"] == "classes, one for each position"


def test_a_head_at_several_places_is_read_at_one_and_the_others_are_named():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, a, b):
            return self.head(self.body(a).tanh()), self.head(self.body(b).tanh())

    measured = phiscope.measure(Siamese(), [((X, X + 1),)])
    assert measured.provenance["layout"].startswith("output[0]")
    assert measured.provenance["not_read"].startswith("output[1]")


def test_complex_outputs_are_named_as_such():
    with pytest.raises(HeadError, match="returned complex numbers"):
        phiscope.split(Net(lambda net, phi, z: z.to(torch.complex64)), X)
