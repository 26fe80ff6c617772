"""The copy that is cut: layers stay what they were under all their names, and what would be lost is refused."""

import copy

import pytest
import torch
from torch import nn

from cut_networks import trained
from phiscope.errors import InputError
from phiscope.surgery import remove_units


class Scaled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Adapted(nn.Linear):
    """A low-rank adapter beside the weight, as peft has it."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.down, self.up = nn.Linear(sizes[0], 2, bias=False), nn.Linear(2, sizes[1], bias=False)

    def forward(self, x):
        return super().forward(x) + self.up(self.down(x))


class Plain(nn.Linear):
    """Another name and the same forward."""


@pytest.mark.parametrize("kind", [Scaled, Adapted])
@pytest.mark.parametrize("place", [0, 2])
def test_a_layer_with_a_forward_of_its_own_is_refused(kind, place):
    """It was replaced by a plain layer: with every unit kept the outputs changed by 2.32."""
    torch.manual_seed(0)
    x = torch.randn(300, 6)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    net[place] = kind(net[place].in_features, net[place].out_features)
    named = {0: "layer", 2: "consumer"}[place]
    with pytest.raises(InputError, match=rf"the {named} is an? {kind.__name__} with a forward of its own"):
        remove_units(net, (x, torch.arange(300) % 3), keep=16, consumer="2")
    net[place] = nn.Linear(net[place].in_features, net[place].out_features)
    net[place].forward = lambda given, layer=net[place]: 2 * type(layer).forward(layer, given)
    with pytest.raises(InputError, match="with a forward of its own"):
        remove_units(net, (x, torch.arange(300) % 3), keep=16, consumer="2")


def test_layers_stay_what_they_were_with_fewer_units():
    """A class of the same forward, its hooks and what is frozen; new plain layers once stood in their place."""
    net, data = trained()
    net[0].__class__ = net[2].__class__ = Plain
    net[0].register_forward_hook(lambda module, args, output: 3 * output)
    net[0].weight.requires_grad_(False)
    net[2].bias.requires_grad_(False)
    made = remove_units(net, data, keep=5)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    assert [type(made.model[place]) for place in (0, 2)] == [Plain, Plain]
    assert [one.requires_grad for one in made.model.parameters()] == [False, True, True, False]
    assert [one.requires_grad for one in net.parameters()] == [False, True, True, False]
    assert remove_units(net, data, keep=20).measured["change"] < 1e-10


def test_what_is_frozen_stays_frozen_in_layers_between_too():
    net, data = trained(nn.BatchNorm1d(20), nn.PReLU(20))
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert not any(one.requires_grad for one in remove_units(net, data, keep=5).model.parameters())
    bare = nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    bare[2].requires_grad_(False)
    made = remove_units(bare, data, keep=4).model
    # The bias that the means go into is as frozen as the weight.
    assert (made[0].bias, made[2].bias.requires_grad) == (None, False)


class Twice(nn.Module):
    """Layers under two names each, and in a list that is no module."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU()), nn.Linear(12, 3)
        self.first, self.norm, self.kept = self.body[0], self.body[1], nn.ModuleList([self.body[0], self.head])
        self.plain = [self.body[0], self.head]

    def forward(self, x):
        return self.plain[1](torch.relu(self.norm(self.first(x))))


def test_a_layer_under_several_names_is_cut_under_each():
    _, (x, y) = trained()
    torch.manual_seed(0)
    net = Twice().eval()
    made = remove_units(net, (x, y), keep=5, layer="first", consumer="head")
    cut = made.model
    assert cut.first is cut.body[0] is cut.kept[0] is cut.plain[0]
    assert cut.head is cut.kept[1] is cut.plain[1]
    assert (cut.norm.num_features, cut.body[1].num_features, cut.first.out_features) == (5, 5, 5)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)


class Spread(nn.Module):
    """What keeps numbers for each unit stands in no nn.Sequential; another norm of the same width beside it."""

    def __init__(self):
        super().__init__()
        self.block = nn.ModuleDict({"up": nn.Linear(6, 12), "norm": nn.Sequential(nn.BatchNorm1d(12))})
        self.act, self.head, self.skip = nn.PReLU(12), nn.Linear(12, 3), nn.Linear(6, 12)
        self.other, self.down, self.last = nn.BatchNorm1d(12), nn.Linear(12, 3), nn.Linear(3, 3)

    def forward(self, x):
        hidden = self.block["up"](x)
        beside = self.down(torch.relu(self.other(self.skip(x))))
        return self.last(self.head(self.act(self.block["norm"](hidden))) + beside)


def test_layers_of_single_units_are_found_wherever_they_are_registered():
    _, (x, y) = trained()
    torch.manual_seed(0)
    net = Spread()
    net(x)
    made = remove_units(net, (x, y), keep=5, layer="block.up", consumer="head", target="outputs")
    cut = made.model
    assert (cut.block["norm"][0].num_features, cut.act.num_parameters, cut.other.num_features) == (5, 5, 12)
    assert made.predicted == pytest.approx(made.measured["consumer_change"], rel=1e-3)
    assert net.block["norm"][0].num_features == 12


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_a_hook_makes():
    """Of a layer that is cut they are refused, elsewhere they are copied; both were errors of torch."""
    net, (x, y) = trained()
    old = torch.nn.utils.weight_norm(nn.Linear(20, 3))
    old(torch.randn(2, 20))
    hooked = nn.Sequential(net[0], nn.ReLU(), old)
    with pytest.raises(InputError, match=r"made by a hook at every call.*remove_weight_norm"):
        remove_units(hooked, (x, y), keep=5)
    inner = torch.nn.utils.weight_norm(nn.Linear(6, 6))
    inner(x)
    made = remove_units(nn.Sequential(inner, *net), (x, y), keep=5)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)


def test_parametrizations_are_folded_into_the_layers_that_are_cut():
    net, data = trained()
    torch.nn.utils.parametrizations.weight_norm(net[0])
    torch.nn.utils.parametrizations.spectral_norm(net[2])
    made = remove_units(net, data, keep=5)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    assert type(made.model[0]) is type(made.model[2]) is nn.Linear
    assert all(one.requires_grad for one in made.model.parameters())
    assert torch.nn.utils.parametrize.is_parametrized(net[0])


def test_a_spectral_norm_in_training_takes_no_step():
    """Reading such a weight moves its vectors, in the given network and in the copy: a training went another way."""
    net, data = trained()
    for place in (0, 2):
        torch.nn.utils.parametrizations.spectral_norm(net[place])
        # Far from settled, so that a step would be seen.
        turned = torch.randn_like(net[place].parametrizations.weight[0]._u)
        net[place].parametrizations.weight[0]._u.copy_(nn.functional.normalize(turned, dim=0))
    net.train()
    kept = copy.deepcopy(net.state_dict())
    made = remove_units(net, data, keep=20)
    assert all(torch.equal(one, net.state_dict()[name]) for name, one in kept.items())
    assert torch.equal(made.model.eval()(data[0]), net.eval()(data[0]))


class TiedWeights(nn.Module):
    """An embedding that is the head's weight, and two activations of one slope."""

    def __init__(self):
        super().__init__()
        self.words, self.inner, self.head = nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9, bias=False)
        self.slope, self.other = nn.PReLU(6), nn.PReLU(6)

    def forward(self, tokens):
        return self.head(self.slope(self.inner(self.other(self.words(tokens)))))


@pytest.mark.parametrize(
    ("tied", "said"),
    [
        ("head.weight", "the weight of the consumer is also a parameter of 'words'"),
        ("inner.weight", "the weight of the layer is also a parameter of 'extra'"),
        ("slope.weight", "the weight of the layer between them is also a parameter of 'other'"),
    ],
)
def test_a_parameter_that_is_shared_with_another_layer_is_refused(tied, said):
    """It once became two: the head was cut, the embedding that it was stayed whole, and nothing said so."""
    torch.manual_seed(0)
    net, tokens = TiedWeights(), torch.randint(0, 9, (60,))
    cut = {"keep": 4, "layer": "inner", "consumer": "head", "target": "outputs"}
    assert remove_units(net, (tokens, tokens), **cut).model.head.in_features == 4
    if tied == "head.weight":
        net.head.weight = net.words.weight
    elif tied == "inner.weight":
        net.extra = nn.Linear(6, 6)
        net.extra.weight = net.inner.weight
    else:
        net.slope.weight = net.other.weight
    with pytest.raises(InputError, match=said):
        remove_units(net, (tokens, tokens), **cut)


def test_a_network_that_cannot_be_copied():
    net, data = trained()
    net.handle = (one for one in range(3))
    with pytest.raises(InputError, match="this Sequential cannot be copied"):
        remove_units(net, data, keep=5)


class Mute(nn.Module):
    def __deepcopy__(self, memo):
        raise MemoryError

    def forward(self, x):
        return x


class Picky(nn.Module):
    """Raises what is its own where the width is another."""

    def forward(self, x):
        if x.shape[1] != 20:
            raise KeyError(x.shape[1])
        return x


def test_what_a_network_raises_of_its_own_is_one_sentence():
    net, data = trained(Mute())
    with pytest.raises(InputError, match=r"cannot be copied \(MemoryError\)"):
        remove_units(net, data, keep=5)
    net, data = trained(Picky())
    with pytest.raises(InputError, match=r"the smaller network does not run: .*\(KeyError: 5\)"):
        remove_units(net, data, keep=5)
