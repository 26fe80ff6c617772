"""Networks are judged on the samples that a measurement counts, with targets read in the same way."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from cut_networks import trained
from phiscope.errors import EmptyDataError, HeadError, InputError, ShapeError, TargetError
from phiscope.surgery import damage, remove_units


def judged(net, data, **settings):
    found = remove_units(net, data, keep=5, **settings).measured
    return {name: found[name] for name in ("accuracy", "accuracy_before", "loss", "loss_before")}


@pytest.mark.parametrize("shape", [lambda y: y[:, None], lambda y: y.to(torch.int16), lambda y: y.numpy()])
def test_labels_are_read_as_measure_reads_them(shape):
    """Labels (n, 1) once were compared with answers (n,): an accuracy of 91.17."""
    net, (x, y) = trained()
    assert judged(net, (x, shape(y))) == judged(net, (x, y))
    assert 0 <= judged(net, (x, shape(y)))["accuracy"] <= 1


@pytest.mark.parametrize("batch", [600, 50])
@pytest.mark.parametrize("target", ["labels", "outputs"])
def test_labels_of_minus_100_are_left_out(target, batch):
    net, (x, y) = trained()
    some = y.clone()
    some[::3] = -100
    counted = (some != -100).nonzero()[:, 0]
    data = [(x[at : at + batch], some[at : at + batch]) for at in range(0, len(x), batch)]
    made = remove_units(net, data, keep=5, target=target)
    with torch.no_grad():
        answers = made.model.eval()(x[counted])
    assert made.measured["accuracy"] == pytest.approx(float((answers.argmax(1) == y[counted]).double().mean()))
    assert made.measured["loss"] == pytest.approx(float(nn.functional.cross_entropy(answers, y[counted])), rel=1e-5)
    # What decides and what is compared with its prediction are the same samples.
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    if target == "labels":
        assert judged(net, data) == pytest.approx(judged(net, (x[counted], y[counted])))
    with pytest.raises(EmptyDataError):
        remove_units(net, (x, torch.full_like(y, -100)), keep=5)


def test_two_classes_of_one_output_are_classes_also_as_truth_values():
    _, (x, _) = trained()
    torch.manual_seed(2)
    net, y = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1)), x[:, 0] > 0
    assert judged(net, (x, y)) == judged(net, (x, y.long()))
    assert judged(net, (x, y[:, None])) == judged(net, (x, y.long()))
    logits = net(x)[:, 0].detach()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, y.float())
    assert judged(net, (x, y))["loss_before"] == pytest.approx(float(loss), rel=1e-5)


def test_targets_that_do_not_fit_are_one_sentence():
    net, (x, y) = trained()
    with pytest.raises(TargetError, match="run from 5 to 7"):
        remove_units(net, (x, y + 5), keep=5)
    with pytest.raises(TargetError, match=r"run from 5 to 7.*expected class indices from 0 to 2"):
        remove_units(net, (x, y + 5), keep=5, target="outputs")
    with pytest.raises(ShapeError, match=r"1 value\(s\) a sample and the network has 3 outputs"):
        remove_units(net, (x, y.double()), keep=5)


def test_a_trial_reads_the_same_samples():
    net, (x, y) = trained()
    m, some = phiscope.measure(net, (x, y)), y.clone()
    some[::3] = -100
    whole = damage(net, (x, y), m, k=[1, 2])
    assert damage(net, (x, y[:, None]), m, k=[1, 2]).loss_added.tolist() == whole.loss_added.tolist()
    left = some != -100
    assert damage(net, (x, some), m, k=[1]).loss_added == pytest.approx(
        damage(net, (x[left], y[left]), m, k=[1]).loss_added
    )
    assert damage(net, (x, y), m, k=[1], max_samples=70).n_samples == 70


class Product(nn.Module):
    """Regression that no layer alone answers."""

    def __init__(self):
        super().__init__()
        self.body, self.mean, self.scale = nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, x):
        features = self.body(x)
        return self.mean(features) * self.scale(features)


def test_values_are_held_against_what_the_network_answers():
    """Behind a softplus or sigmoid they once were held against the numbers before it: a loss of 1.00 for .09."""
    torch.manual_seed(0)
    x, y = torch.randn(200, 6), torch.rand(200, 2)
    for last in (nn.Softplus(), nn.Sigmoid()):
        net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2), last)
        loss = float(((net(x) - y) ** 2).sum(1).mean().detach())
        m = phiscope.measure(net, (x, y))
        assert damage(net, (x, y), m, layer="1", k=[1]).loss_before == pytest.approx(loss, rel=1e-5)
        assert remove_units(net, (x, y), keep=5).measured["loss_before"] == pytest.approx(loss, rel=1e-5)
        with pytest.raises(InputError, match=r"targets are values.*a function of what its head 2 \(Linear\) gives"):
            damage(net, (x, y), m, k=[1])
        before = float(((net[:3](x) - y) ** 2).sum(1).mean().detach())
        assert damage(net, (x, y), m, head="2", k=[1]).loss_before == pytest.approx(before, rel=1e-5)


def test_a_network_without_a_head_is_judged_by_its_answers_at_a_layer():
    """A measurement with features= was there, and damage refused it for want of a head that it does not need."""
    torch.manual_seed(0)
    net, x, y = Product(), torch.randn(200, 6), torch.rand(200, 1)
    loss = float(((net(x) - y) ** 2).mean().detach())
    for settings in ({}, {"head": "mean"}, {"outputs": "output"}):
        m = phiscope.measure(net, (x, y), features="body", **settings)
        assert damage(net, (x, y), m, layer="body", k=[1]).loss_before == pytest.approx(loss, rel=1e-5)
    m = phiscope.measure(net, (x, y), head="mean")
    with pytest.raises(HeadError):
        damage(net, (x, y), m, k=[1])
    of_mean = float(((net.mean(net.body(x)) - y) ** 2).mean().detach())
    for layer in (None, "body"):
        found = damage(net, (x, y), m, head="mean", layer=layer, k=[1])
        assert found.loss_before == pytest.approx(of_mean, rel=1e-5)
    with pytest.raises(InputError, match="head is a tuple; expected a layer of the network"):
        damage(net, (x, y), m, head=(net.mean.weight, net.mean.bias))


@pytest.mark.parametrize("generator", [None, torch.Generator()])
def test_a_loader_that_shuffles_comes_in_one_order_and_moves_no_random_state(generator):
    """Answers of one order once were compared with those of another: right on 41 % before, where it was 94 %."""
    net, (x, y) = trained()
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, generator=generator)
    state, own = torch.get_rng_state(), None if generator is None else generator.get_state()
    m = phiscope.measure(net, (x, y))
    plain = damage(net, (x, y), m, k=[1, 5])
    for layer in (None, "1"):
        found = damage(net, loader, m, layer=layer, k=[1, 5])
        assert found.accuracy_before == plain.accuracy_before
        assert found.loss_added[:, 0] == pytest.approx(plain.loss_added[:, 0], rel=1e-5)
    made = remove_units(net, loader, keep=5, max_samples=100)
    assert made.predicted == pytest.approx(made.measured["change"], rel=1e-4)
    assert torch.equal(state, torch.get_rng_state())
    assert own is None or torch.equal(own, generator.get_state())


def test_data_that_come_once_or_in_another_order_are_refused():
    net, (x, y) = trained()
    m = phiscope.measure(net, (x, y))

    order = np.random.default_rng(0)

    class Another:
        def __iter__(self):
            places = torch.from_numpy(order.permutation(len(x)))
            return iter([(x[places], y[places])])

    with pytest.raises(InputError, match="in another order, when they were walked through again"):
        damage(net, Another(), m, layer="1")
    for one in (lambda data: damage(net, data, m, layer="1"), lambda data: remove_units(net, data, keep=5)):
        with pytest.raises(InputError, match="data is a generator, which can be read only once"):
            one(batch for batch in [(x, y)])
    assert damage(net, (batch for batch in [(x, y)]), m, k=[1]).n_samples == len(x)
