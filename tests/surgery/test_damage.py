"""The causal probe: exact logit changes, paired intervals, and a control where nothing can be lost."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, TargetError, UnknownNameError
from phiscope.surgery import damage


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    x = torch.randn(800, 6)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    net = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.double(), (x.double(), y), phiscope.measure(net.double(), (x.double(), y))


def test_the_logit_change_of_one_eigenfeature_is_exact(parts):
    net, data, m = parts
    found = damage(net, data, m)
    weight = net[4].weight.detach().numpy()
    expected = m.centered.eigenvalues * ((weight @ m.centered.eigenvectors) ** 2).sum(axis=0)
    assert found.logit_change == pytest.approx(expected, rel=1e-8, abs=1e-14)
    first = damage(net, data, m, of="first").logit_change
    assert first == pytest.approx(np.cumsum(expected), rel=1e-8, abs=1e-14)
    last = damage(net, data, m, of="last").logit_change
    assert last == pytest.approx(np.cumsum(expected[::-1])[::-1], rel=1e-8, abs=1e-14)


def test_removal_by_hand(parts):
    net, (x, y), m = parts
    found = damage(net, (x, y), m, k=[2])
    with torch.no_grad():
        features = net[:4](x)
        v, mean = torch.from_numpy(m.centered.eigenvectors[:, 1].copy()), torch.from_numpy(m.feature_mean.copy())
        cut = features - ((features - mean) @ v)[:, None] * v
        before, after = net[4](features), net[4](cut)
    right = [(one.argmax(dim=1) == y).double().mean().item() for one in (before, after)]
    assert found.accuracy_before == pytest.approx(right[0])
    assert found.accuracy_lost[0, 0] == pytest.approx(right[0] - right[1])
    losses = [nn.functional.cross_entropy(one, y).item() for one in (before, after)]
    assert found.loss_added[0, 0] == pytest.approx(losses[1] - losses[0], rel=1e-8)
    assert found.loss_before == pytest.approx(losses[0])


@pytest.mark.parametrize("kind", ["remove", "replace"])
def test_a_layer_and_the_heads_input_agree(parts, kind):
    """The layer before the head gives the head's input: tampering with one is tampering with the other."""
    net, data, m = parts
    by_layer = damage(net, data, m, layer="3", k=[1, 3], kind=kind, seed=4)
    by_head = damage(net, data, m, k=[1, 3], kind=kind, seed=4)
    assert by_layer.loss_added == pytest.approx(by_head.loss_added, rel=1e-6, abs=1e-12)
    assert by_layer.accuracy_lost == pytest.approx(by_head.accuracy_lost)


def test_an_early_layer_by_hand(parts):
    net, (x, y), _ = parts
    m = phiscope.measure_layers(net, (x, y), layers=["1"])["1"]
    found = damage(net, (x, y), m, layer="1", k=[1], of="single")
    with torch.no_grad():
        hidden = net[:2](x)
        v, mean = torch.from_numpy(m.centered.eigenvectors[:, 0].copy()), torch.from_numpy(m.feature_mean.copy())
        after = net[2:](hidden - ((hidden - mean) @ v)[:, None] * v)
        expected = ((after - net(x)) ** 2).sum(dim=1).mean().item()
    assert found.logit_change[0] == pytest.approx(expected, rel=1e-8)


def test_noise_and_shuffling_keep_the_energy(parts):
    net, data, m = parts
    for kind in ("replace", "shuffle"):
        found = damage(net, data, m, kind=kind, k=[1])
        removed = damage(net, data, m, k=[1])
        # Independent of what stood there: the change is twice as large.
        assert found.logit_change[0] == pytest.approx(2 * removed.logit_change[0], rel=0.15)
    assert damage(net, data, m, kind="replace", seed=1).loss_added[0, 0] == pytest.approx(
        damage(net, data, m, kind="replace", seed=1).loss_added[0, 0]
    )


def test_a_head_that_reads_nothing_loses_nothing():
    """The control: eigenfeatures that the head does not read can go."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Identity(), nn.Linear(4, 2, bias=False)).double()
    with torch.no_grad():
        net[1].weight[:] = torch.tensor([[0.0, 0, 0, 1], [0, 0, 0, -1]])
    x = torch.randn(600, 4, dtype=torch.float64) * torch.tensor([9.0, 5, 3, 1])
    y = (x[:, 3] < 0).long()
    found = damage(net, (x, y), phiscope.measure(net, (x, y)))
    assert found.accuracy_before == 1
    # Eigenfeatures of a sample lie a little beside the axes.
    assert found.accuracy_lost[:3, 0] == pytest.approx(0, abs=0.1)
    assert found.accuracy_lost[3, 0] > 0.35
    assert (found.accuracy_lost[:, 1] <= found.accuracy_lost[:, 0]).all()
    assert (found.accuracy_lost[:, 2] >= found.accuracy_lost[:, 0]).all()
    assert (found.accuracy_lost[:, 2] > found.accuracy_lost[:, 1]).all()


def test_values_have_a_loss_and_no_accuracy():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    data = (torch.randn(200, 4), torch.randn(200, 2))
    found = damage(net, data, phiscope.measure(net, data))
    assert found.accuracy_before is None
    assert found.accuracy_lost is None
    with torch.no_grad():
        assert found.loss_before == pytest.approx(float(((net(data[0]) - data[1]) ** 2).sum(dim=1).mean()), rel=1e-5)
    assert [axes.get_ylabel() for axes in found.figure().axes[:1]] == ["loss added"]


def test_nothing_of_the_network_is_changed(parts):
    net, data, m = parts
    net.train()
    damage(net, data, m, layer="3", k=[1])
    assert net.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    net.eval()


def test_wrong_use_is_one_sentence(parts):
    net, (x, y), m = parts
    with pytest.raises(UnknownNameError, match="did you mean single"):
        damage(net, (x, y), m, of="singel")
    with pytest.raises(UnknownNameError, match="kind"):
        damage(net, (x, y), m, kind="delete")
    for k in ([0], [9], [1.5], [], 3.0, 3, "12", [True], [[1], [2, 3]]):
        with pytest.raises(InputError, match="expected numbers of eigenfeatures from 1 to 7"):
            damage(net, (x, y), m, k=k)
    with pytest.raises(TargetError, match=r"run from 5 to 7.*expected class indices from 0 to 2"):
        damage(net, (x, y + 5), m, k=[1])
    with pytest.raises(InputError, match="seed is -1"):
        damage(net, (x, y), m, k=[1], seed=-1)
    with pytest.raises(InputError, match="max_samples is 0"):
        damage(net, (x, y), m, k=[1], max_samples=0)
    assert damage(net, (x, y), m, k=torch.tensor([2, 1])).k.tolist() == [2, 1]
    with pytest.raises(InputError, match="damage needs targets"):
        damage(net, [x], m)
    with pytest.raises(InputError, match=r"layer '1' gives \(256, 10\), 10 features .* and the measurement has 8"):
        damage(net, (x, y), m, layer="1", k=[1])
    with pytest.raises(UnknownNameError, match="there is no layer named '9'"):
        damage(net, (x, y), m, layer="9")
    with pytest.raises(InputError, match="maps= and tokens= say how a layer is read, and none was named"):
        damage(net, (x, y), m, maps="pooled")
    early = phiscope.measure_layers(net, (x, y), layers=["1"])["1"]
    with pytest.raises(InputError, match=r"of .1 \(ReLU\), output., and eigenfeatures are taken from what the head"):
        damage(net, (x, y), early)


def test_the_picture_has_damage_against_what_the_spectrum_says(parts):
    net, data, m = parts
    figure = damage(net, data, m).figure()
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 4
    assert "n = 800 samples" in figure.caption
    assert "alone" in figure.caption


def leading_parts(parts, tmp_path):
    """Measurements of the head's input that hold three eigenvectors: cut, and read from disk."""
    net, (x, _), m = parts
    with torch.no_grad():
        features = net[:4](x)
    m.save(tmp_path / "m.safetensors", keep_eigenvectors=3)
    return phiscope.diagonalize(features, k=3), phiscope.Measurement.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", ["remove", "shuffle"])
@pytest.mark.parametrize("layer", [None, "3"])
def test_all_from_the_kth_on_are_also_those_that_the_measurement_does_not_hold(parts, tmp_path, kind, layer):
    """Of three eigenvectors "last" once took the third alone."""
    net, data, m = parts
    settings = {"of": "last", "k": [1, 3], "kind": kind, "layer": layer, "seed": 2}
    whole = damage(net, data, m, **settings)
    for held in leading_parts(parts, tmp_path):
        found = damage(net, data, held, **settings)
        assert found.logit_change == pytest.approx(whole.logit_change, rel=1e-8)
        assert found.loss_added == pytest.approx(whole.loss_added, rel=1e-6, abs=1e-12)
        # The control: what is taken from the front is the same.
        first = [damage(net, data, one, of="first", k=[2]).logit_change for one in (held, m)]
        assert first[0] == pytest.approx(first[1], rel=1e-8)


def test_noise_along_eigenvectors_that_are_not_there_is_refused(parts, tmp_path):
    net, data, _ = parts
    for held in leading_parts(parts, tmp_path):
        with pytest.raises(InputError, match=r"needs every eigenvector .* holds the 3 leading ones"):
            damage(net, data, held, of="last", kind="replace", k=[2])
        assert damage(net, data, held, of="first", kind="replace", k=[2]).logit_change[0] > 0
