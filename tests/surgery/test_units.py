"""A smaller network: the change that was predicted is the one that is measured, and the given network is untouched."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cut_networks import trained
from phiscope.errors import InputError, TargetError, UnknownNameError
from phiscope.surgery import remove_units


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("rule", ["greedy", "magnitude", "random"])
def test_the_predicted_change_is_the_measured_one(rule, compensate):
    net, data = trained()
    made = remove_units(net, data, keep=7, rule=rule, compensate=compensate)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    assert made.measured["consumer_change"] == made.measured["change"]
    assert len(made.kept) == 7
    assert made.model[0].out_features == made.model[2].in_features == 7


def test_the_change_by_hand():
    net, (x, y) = trained()
    made = remove_units(net, (x, y), keep=5)
    with torch.no_grad():
        before, after = net.eval()(x), made.model.eval()(x)
    assert made.measured["change"] == pytest.approx(float(((before - after) ** 2).sum(dim=1).mean()), rel=1e-5)
    assert made.measured["accuracy"] == pytest.approx(float((after.argmax(dim=1) == y).float().mean()))
    assert made.measured["accuracy_before"] == pytest.approx(float((before.argmax(dim=1) == y).float().mean()))
    loss = nn.functional.cross_entropy(after.double(), y)
    assert made.measured["loss"] == pytest.approx(float(loss), rel=1e-6)


def test_compensation_is_the_least_squares_of_the_definition():
    net, (x, y) = trained()
    made = remove_units(net, (x, y), keep=6, ridge=1e-9)
    features = net[:2](x).detach().double().numpy()
    design = np.column_stack([features[:, made.kept], np.ones(len(x))])
    outputs = net(x).detach().double().numpy()
    solution, *_ = np.linalg.lstsq(design, outputs, rcond=None)
    assert made.model[2].weight.detach().numpy() == pytest.approx(solution[:-1].T, abs=2e-3)
    plain = remove_units(net, (x, y), keep=6, compensate=False)
    assert made.predicted < plain.predicted


def test_all_units_kept_change_nothing():
    net, data = trained()
    made = remove_units(net, data, keep=20)
    assert made.predicted == 0.0
    assert made.measured["change"] < 1e-10


def test_the_given_network_is_untouched():
    net, data = trained()
    before = copy.deepcopy(net.state_dict())
    net.train()
    remove_units(net, data, keep=4)
    assert net.training
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values(), strict=True))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize(
    "between", [(nn.BatchNorm1d(20),), (nn.BatchNorm1d(20), nn.PReLU(20)), (nn.PReLU(), nn.Dropout(0.2))]
)
def test_layers_of_single_units_between_are_cut_too(between):
    net, data = trained(*copy.deepcopy(between))
    made = remove_units(net, data, keep=5)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-3)
    if isinstance(made.model[1], nn.BatchNorm1d):
        assert made.model[1].num_features == 5
        assert made.model[1].running_mean.shape == (5,)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x):
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


@pytest.mark.parametrize(("layer", "consumer"), [("second", "head"), ("first", "second")])
def test_named_layers_of_any_module(layer, consumer):
    _, data = trained()
    torch.manual_seed(0)
    net = Named()
    made = remove_units(net, data, keep=5, layer=layer, consumer=consumer, target="outputs")
    assert getattr(made.model, layer).out_features == 5
    assert getattr(made.model, consumer).in_features == 5
    assert made.predicted == pytest.approx(made.measured["consumer_change"], rel=1e-4)
    if consumer == "head":
        assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    else:
        assert made.predicted != pytest.approx(made.measured["change"], rel=0.1)


@pytest.mark.parametrize("max_samples", [None, 70])
@pytest.mark.parametrize("batch", [600, 50])
def test_the_change_at_an_inner_consumer_is_its_own_and_not_the_networks(batch, max_samples):
    """Layers behind the consumer make another change of it: both are measured, and the prediction is of the former."""
    torch.manual_seed(0)
    x = torch.randn(600, 6)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 2))
    data = [(x[start : start + batch], torch.zeros(batch).long()) for start in range(0, 600, batch)]
    made = remove_units(net, data, keep=6, layer="0", consumer="2", target="outputs", max_samples=max_samples)
    with torch.no_grad():
        changes = [
            ((part(x[:max_samples]) - cut(x[:max_samples])) ** 2).sum(dim=1).mean()
            for part, cut in ((net[:3].eval(), made.model[:3].eval()), (net.eval(), made.model.eval()))
        ]
    assert made.measured["consumer_change"] == pytest.approx(float(changes[0]), rel=1e-4)
    assert made.measured["change"] == pytest.approx(float(changes[1]), rel=1e-4)
    assert made.predicted == pytest.approx(made.measured["consumer_change"], rel=1e-4)
    assert made.predicted != pytest.approx(made.measured["change"], rel=0.1)


class Mixes(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(torch.softmax(self.first(x), dim=1))


def test_wrong_use_is_one_sentence():
    net, data = trained()
    with pytest.raises(InputError, match="expected a number of units from 1 to 20"):
        remove_units(net, data, keep=0)
    with pytest.raises(UnknownNameError, match="there is no layer named 'nonsense'"):
        remove_units(net, data, keep=3, layer="nonsense")
    with pytest.raises(InputError, match="consumer is a Linear that is no layer of this Sequential"):
        remove_units(net, data, keep=3, consumer=nn.Linear(20, 3))
    with pytest.raises(InputError, match=r"the layer is a ReLU; expected an nn\.Linear"):
        remove_units(net, data, keep=3, layer="1")
    with pytest.raises(InputError, match="they do not follow each other"):
        remove_units(Named(), data, keep=3, layer="first", consumer="head")
    with pytest.raises(InputError, match="pass layer="):
        remove_units(Named(), data, keep=3)
    with pytest.raises(InputError, match="mixes units"):
        remove_units(Mixes(), data, keep=3, layer="first")
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(InputError, match="channels are scored"):
        remove_units(conv, (torch.randn(50, 1, 4, 4), torch.arange(50) % 3), keep=3)


class Texts(nn.Module):
    """A block of a transformer: its feed-forward answers at each token, the network once for a text."""

    def __init__(self):
        super().__init__()
        self.words, self.up, self.down = nn.Embedding(20, 8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, ids):
        tokens = self.words(ids)
        return self.head(self.norm(tokens + self.down(nn.functional.gelu(self.up(tokens)))).mean(1))


@pytest.mark.parametrize("max_samples", [None, 70])
def test_a_feed_forward_of_tokens_is_cut_by_its_outputs_with_labels_of_texts(max_samples):
    torch.manual_seed(0)
    net, ids, y = Texts().eval(), torch.randint(20, (300, 5)), torch.arange(300) % 3
    made = remove_units(net, (ids, y), keep=8, layer="up", consumer="down", target="outputs", max_samples=max_samples)
    assert made.predicted == pytest.approx(made.measured["consumer_change"], rel=1e-4)
    # Accuracy is of texts.
    right = (net(ids[:max_samples]).argmax(1) == y[:max_samples]).double().mean()
    assert made.measured["accuracy_before"] == pytest.approx(float(right))
    unlabeled = remove_units(net, ids, keep=8, layer="up", consumer="down", target="outputs", max_samples=max_samples)
    assert unlabeled.kept.tolist() == made.kept.tolist()
    assert "accuracy" not in unlabeled.measured
    with pytest.raises(
        InputError, match=r"held against \(.*\); expected one for each place at which it answers.*pass target="
    ):
        remove_units(net, (ids, y), keep=8, layer="up", consumer="down")


def test_a_consumer_of_fewer_outputs_than_there_are_classes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 7))
    data = (torch.randn(300, 6), torch.arange(300) % 7)
    with pytest.raises(InputError, match=r"of no more classes than it has outputs.*pass target="):
        remove_units(net, data, keep=4, layer="0", consumer="2")
    made = remove_units(net, data, keep=4, layer="0", consumer="2", target="outputs")
    assert made.predicted == pytest.approx(made.measured["consumer_change"], rel=1e-4)
    assert 0 <= made.measured["accuracy"] <= 1
    with pytest.raises(TargetError, match="run from 5 to 11"):
        remove_units(net, (data[0], data[1] + 5), keep=2)
