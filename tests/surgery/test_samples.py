"""Networks are judged on the samples that a measurement counts, with targets read in the same way."""

import pytest
import torch
from torch import nn

import phiscope
from cut_networks import trained
from phiscope.errors import EmptyDataError, ShapeError, TargetError
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
