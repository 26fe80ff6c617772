"""The network restricted to its leading eigenfunctions, and NC4."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.analysis.restriction import Restriction, restrict
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, TargetError


def clustered(n=900, p=12, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centers = np.random.default_rng(99).normal(size=(classes, p)) * 2
    return centers[labels] + rng.normal(size=(n, p)), labels, (rng.normal(size=(classes, p)), rng.normal(size=classes))


@pytest.mark.parametrize("centered", [True, False])
def test_every_k_against_projecting_by_hand(centered):
    features, labels, head = clustered()
    measured = phiscope.diagonalize(features, head=head, targets=labels)
    found = restrict(measured, (features, labels), head, centered=centered)
    mean = features.mean(axis=0) if centered else np.zeros(features.shape[1])
    _, vectors = np.linalg.eigh((features - mean).T @ (features - mean))
    for k in range(features.shape[1] + 1):
        kept = vectors[:, ::-1][:, :k]
        logits = ((features - mean) @ kept @ kept.T + mean) @ head[0].T + head[1]
        assert found.accuracy[k] == pytest.approx((logits.argmax(1) == labels).mean(), abs=1e-12)
        chosen = logits[np.arange(len(labels)), labels]
        entropy = np.mean(np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1) - chosen)
        assert found.loss[k] == pytest.approx(entropy, rel=1e-9)


def test_the_least_k_that_reaches_a_share_of_the_accuracy():
    curve = np.array([0.1, 0.5, 0.79, 0.8, 0.8])
    common = {"centered": True, "loss": np.zeros(5), "nc4": None, "n_samples": 100, "network_loss": 0.0}
    found = Restriction(accuracy=curve, network_accuracy=0.8, **common)
    assert found.least_k() == 3
    # 0.79 is 98.75 % of what the full network reaches.
    assert found.least_k(0.98) == 2
    assert found.least_k(0.0) == 0
    assert Restriction(accuracy=curve, network_accuracy=0.9, **common).least_k() is None
    assert Restriction(accuracy=None, network_accuracy=None, **common).least_k() is None


def test_nc4_counts_disagreement_with_the_nearest_class_mean():
    features, labels, head = clustered()
    measured = phiscope.diagonalize(features + 1000, head=(head[0], head[1] - 1000 * head[0].sum(1)), targets=labels)
    means = np.stack([features[labels == c].mean(axis=0) for c in range(4)])
    nearest = ((features[:, None] - means) ** 2).sum(-1).argmin(1)
    expected = ((features @ head[0].T + head[1]).argmax(1) != nearest).mean()
    found = restrict(measured, (features + 1000, labels), (head[0], head[1] - 1000 * head[0].sum(1)))
    assert found.nc4 == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1


def test_batches_and_regression():
    features, _, head = clustered()
    values = features @ head[0].T + head[1]
    measured = phiscope.diagonalize(features, head=head, targets=values)
    found = restrict(measured, [(features[:10], values[:10]), (features[10:], values[10:])], head)
    assert found.accuracy is None
    assert found.nc4 is None
    assert found.loss[-1] == pytest.approx(0, abs=1e-20 * 1e6)
    assert (np.diff(found.loss) <= 1e-9).all()


def test_bad_input_is_named():
    features, labels, head = clustered()
    measured = phiscope.diagonalize(features, head=head, targets=labels)
    with pytest.raises(EmptyDataError, match="no samples"):
        restrict(measured, [], head)
    with pytest.raises(ShapeError, match="expected"):
        restrict(measured, (features[:, :3], labels), head)
    with pytest.raises(TargetError, match="integer targets"):
        restrict(measured, (features, labels + 10), head)


def test_network_form_equals_features_collected_by_hand():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3))
    x, y = torch.randn(300, 6), torch.randint(3, (300,))
    loader = DataLoader(TensorDataset(x, y), batch_size=70)
    measured = phiscope.measure(net, loader)
    net.train()
    found = restrict(measured, loader, net)
    features = torch.tanh(net[0](x)).detach()
    expected = restrict(measured, (features, y), (net[2].weight.detach(), net[2].bias.detach()))
    np.testing.assert_allclose(found.accuracy, expected.accuracy)
    np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-6)
    assert found.nc4 == expected.nc4
    assert found.accuracy[-1] == pytest.approx((net(x).argmax(1) == y).float().mean().item(), abs=1e-6)
    assert net.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    with pytest.raises(TargetError, match="no targets"):
        restrict(measured, x, net)


def test_a_single_output_tells_two_classes_apart():
    features, labels, head = clustered()
    two = (labels > 1).astype(int)
    weight, bias = head[0][:1], head[1][:1]
    found = restrict(phiscope.diagonalize(features, head=(weight, bias), targets=two), (features, two), (weight, bias))
    logit = features @ weight[0] + bias[0]
    assert found.accuracy[-1] == pytest.approx(((logit > 0) == two).mean(), abs=1e-12)
    assert found.loss[-1] == pytest.approx(np.logaddexp(0, np.where(two == 1, -logit, logit)).mean(), rel=1e-9)
    nearest = np.stack([((features - features[two == c].mean(axis=0)) ** 2).sum(1) for c in (0, 1)]).argmin(axis=0)
    assert found.nc4 == pytest.approx(((logit > 0) != nearest).mean(), abs=1e-12)
    with pytest.raises(TargetError, match=r"0 \.\. 1"):
        restrict(phiscope.diagonalize(features), (features, labels), (weight, bias))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_not_counted_as_an_answer(bad):
    """The argmax of NaN is 0: accuracy would be the share of class 0, and NC4 would be 0."""
    features, labels, head = clustered()
    measured = phiscope.diagonalize(features, head=head, targets=labels)
    broken = features.copy()
    broken[5, 3] = bad
    with pytest.raises(NonFiniteError, match="features"):
        restrict(measured, (broken, labels), head)
    with pytest.raises(NonFiniteError, match="targets"):
        restrict(measured, (features, np.full((len(labels), 4), bad)), head)


def test_samples_that_are_no_pairs():
    features, labels, head = clustered()
    measured = phiscope.diagonalize(features, head=head, targets=labels)
    for samples in ("abc", [features, labels], [(features, labels, labels)]):
        with pytest.raises(InputError, match="pair"):
            restrict(measured, samples, head)


@pytest.mark.parametrize("centered", [True, False])
def test_a_cut_spectrum_does_not_end_in_the_network(centered, tmp_path):
    """The share of accuracy is that of the network, of which the eigenfunctions that are held may reach none."""
    features, labels, _ = clustered()
    # The head reads the two weakest directions alone.
    values, vectors = np.linalg.eigh(np.cov(features.T))
    weak = (features - features.mean(axis=0)) @ vectors[:, :2] / np.sqrt(values[:2])
    labels = (weak[:, 0] > 0).astype(int)
    head = (np.outer([-1.0, 1.0], vectors[:, 0]), None)
    head = (head[0], np.array([1.0, -1.0]) * (features.mean(axis=0) @ vectors[:, 0]))
    whole = restrict(phiscope.diagonalize(features, targets=labels), (features, labels), head, centered=centered)
    assert whole.network_accuracy == pytest.approx(whole.accuracy[-1]) == 1.0
    assert whole.network_loss == pytest.approx(whole.loss[-1])
    cut = phiscope.diagonalize(features, targets=labels, k=5)
    cut.save(tmp_path / "m.safetensors")
    for measured in (cut, phiscope.Measurement.load(tmp_path / "m.safetensors")):
        found = restrict(measured, (features, labels), head, centered=centered)
        # These five carry nothing that the head reads: near its border a sample falls here or there by rounding.
        np.testing.assert_allclose(found.accuracy, whole.accuracy[:6], atol=0.01)
        assert (found.network_accuracy, found.network_loss) == (whole.network_accuracy, whole.network_loss)
        assert found.least_k() is None
        assert "is not reached with 5 eigenfunctions" in found._repr_html_()
    assert whole.least_k() == int(np.argmax(whole.accuracy >= 0.99))


def test_another_sample_may_lie_outside_what_was_measured():
    """Features that the measured samples do not span are the network's all the same."""
    features, labels, head = clustered(n=8)
    others, other_labels, _ = clustered(seed=5)
    found = restrict(phiscope.diagonalize(features, targets=labels), (others, other_labels), head)
    expected = ((others @ head[0].T + head[1]).argmax(1) == other_labels).mean()
    assert found.network_accuracy == pytest.approx(expected)
