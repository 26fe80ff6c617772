"""Scores for other tools: Torch-Pruning on a network with coupled channels, and torch.nn.utils.prune."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.surgery import as_importance, importance_scores, score_units

tp = pytest.importorskip("torch_pruning")


class Residual(nn.Module):
    """A stem whose channels are tied to those of a block by a sum, and a hidden layer of the block that is free."""

    def __init__(self, width=8, hidden=6, classes=3):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width)
        self.inside, self.inside_norm = nn.Conv2d(width, hidden, 3, padding=1), nn.BatchNorm2d(hidden)
        self.back = nn.Conv2d(hidden, width, 3, padding=1)
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(x + self.back(torch.relu(self.inside_norm(self.inside(x)))))
        return self.head(x.mean((2, 3)))


SCORED = ["stem_norm", "inside_norm", "back"]


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    net, x = Residual().eval(), torch.randn(300, 1, 6, 6)
    return net, (x, torch.arange(300) % 3), phiscope.measure_layers(net, (x, torch.arange(300) % 3), SCORED)


def pruned(net, importance, ratio=0.5):
    cut = copy.deepcopy(net)
    pruner = tp.pruner.BasePruner(
        cut, torch.randn(2, 1, 6, 6), importance=importance, pruning_ratio=ratio, ignored_layers=[cut.head]
    )
    for group in pruner.step(interactive=True):
        group.prune()
    return cut


def test_a_residual_network_is_cut_and_its_coupled_channels_go_together(parts):
    net, data, layers = parts
    cut = pruned(net, as_importance(layers))
    assert (cut.stem.out_channels, cut.back.out_channels, cut.head.in_features) == (4, 4, 4)
    assert (cut.inside.out_channels, cut.back.in_channels, cut.inside_norm.num_features) == (3, 3, 3)
    assert cut(data[0]).shape == (300, 3)
    assert net.stem.out_channels == 8


def test_the_channels_with_the_lowest_scores_go(parts):
    net, _, _ = parts
    scores = {"stem": [5.0, 1, 5, 1, 5, 1, 5, 1], "back": [5.0, 5, 1, 1, 5, 5, 1, 1], "inside": [1.0, 2, 3, 4, 5, 6]}
    cut = pruned(net, as_importance(scores))
    # Means of the coupled layers: 5 3 3 1 5 3 3 1; channels 3 and 7 go, and two of those with 3.
    kept = [index for index in range(8) if any(torch.equal(row, net.stem.weight[index]) for row in cut.stem.weight)]
    assert {0, 4} < set(kept)
    assert not {3, 7} & set(kept)
    assert torch.equal(cut.inside.weight[:, 0], net.inside.weight[3:][:, kept[0]])


def test_reduction_and_normalizer_are_torch_prunings(parts):
    net, _, _ = parts
    stem, back = torch.rand(8, dtype=torch.float64) + 0.5, torch.rand(8, dtype=torch.float64) + 0.5
    graph = tp.DependencyGraph().build_dependency(net, example_inputs=torch.randn(2, 1, 6, 6))
    group = graph.get_pruning_group(net.stem, tp.prune_conv_out_channels, idxs=list(range(8)))
    scores = {"stem": stem, "back": back}
    for reduction, expected in (("mean", (stem + back) / 2), ("sum", stem + back), ("max", torch.maximum(stem, back))):
        found = as_importance(scores, reduction=reduction, normalizer=None)(group)
        assert found.double().numpy() == pytest.approx(expected.numpy(), rel=1e-6)
    normal = as_importance(scores)(group)
    assert float(normal.mean()) == pytest.approx(1, rel=1e-6)


def test_scores_of_measurements_are_those_of_score_units(parts):
    net, _, layers = parts
    graph = tp.DependencyGraph().build_dependency(net, example_inputs=torch.randn(2, 1, 6, 6))
    group = graph.get_pruning_group(net.inside, tp.prune_conv_out_channels, idxs=list(range(6)))
    for rule in ("exact", "greedy"):
        for target in ("labels", "outputs"):
            found = as_importance(layers, rule=rule, target=target, normalizer=None)(group)
            scores = score_units(layers["inside_norm"], rule=rule, target=target)
            assert found.numpy() == pytest.approx(scores.importance, rel=1e-5)
            if rule == "greedy":
                assert torch.argsort(found).tolist() == scores.order.tolist()


def test_the_outputs_of_an_inner_layer_are_those_that_were_measured_with_it(parts):
    net, (x, _), layers = parts
    with torch.no_grad():
        features = net.inside_norm(net.inside(torch.relu(net.stem_norm(net.stem(x))))).mean((2, 3)).double().numpy()
        outputs = net(x).double().numpy()
    centered = features - features.mean(axis=0)
    covariance, crossed = centered.T @ centered / 300, centered.T @ (outputs - outputs.mean(axis=0)) / 300
    ridge = 1e-3 * np.trace(covariance) / 6
    expected = np.trace(crossed.T @ np.linalg.solve(covariance + ridge * np.eye(6), crossed))
    scores = score_units(layers["inside_norm"], target="outputs")
    assert scores.total == pytest.approx(expected, rel=1e-4)
    assert len(scores.held_out)


def test_what_the_head_reads_is_looked_up_at_its_inputs(parts):
    net, data, _ = parts
    layers = phiscope.measure_layers(net, data, ["head"])
    assert layers.head == "head"
    only_head = {"head": layers["head"]}
    with pytest.raises(InputError, match=r"none of the coupled layers 'back', .*only 'head' has;"):
        pruned(net, as_importance(only_head))  # in a plain mapping every name stands for outputs
    importance = as_importance(layers, missing="keep")
    cut = pruned(net, importance)
    assert cut.head.in_features == 4
    expected = score_units(layers["head"]).kept(4)
    assert [
        int(np.flatnonzero((net.head.weight == column[:, None]).all(0).numpy())[0]) for column in cut.head.weight.T
    ] == (expected.tolist())


def test_channels_without_scores_are_refused_or_kept(parts):
    net, _, layers = parts
    partial = {"inside_norm": layers["inside_norm"]}
    with pytest.raises(InputError, match=r"coupled layers .*'stem_norm'.*pass missing=\"keep\""):
        pruned(net, as_importance(partial))
    cut = pruned(net, as_importance(partial, missing="keep"))
    assert (cut.stem.out_channels, cut.inside.out_channels) == (8, 3)


def test_scores_from_before_a_cut_are_refused(parts):
    net, _, layers = parts
    cut = pruned(net, as_importance(layers))
    with pytest.raises(InputError, match="has 4 channels and scores for 8; measure and score again"):
        pruned(cut, as_importance(layers))


def test_wrong_use_is_one_sentence():
    with pytest.raises(UnknownNameError, match="did you mean mean"):
        as_importance({"a": [1.0]}, reduction="meam")
    with pytest.raises(UnknownNameError, match="missing"):
        as_importance({"a": [1.0]}, missing="drop")
    with pytest.raises(InputError, match="at least one layer"):
        as_importance({})
    for wrong in ([], [[1.0]], [float("nan")]):
        with pytest.raises(InputError, match="expected one finite number a channel"):
            as_importance({"a": wrong})


@pytest.mark.parametrize("rule", ["greedy", "exact", "random"])
def test_torchs_own_pruning_removes_the_units_that_the_rule_removes_first(rule):
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    layer = nn.Linear(5, 8)
    scores = score_units(phiscope.diagonalize(torch.relu(layer(x)), targets=torch.arange(200) % 2), rule=rule)
    prune.ln_structured(
        layer, "weight", amount=3, n=1, dim=0, importance_scores=importance_scores(scores, layer.weight)
    )
    gone = (layer.weight == 0).all(dim=1).nonzero()[:, 0].tolist()
    assert gone == sorted(scores.order[:3].tolist())
    reader = nn.Linear(8, 2)
    prune.ln_structured(
        reader, "weight", amount=3, n=1, dim=1, importance_scores=importance_scores(scores, reader.weight, dim=1)
    )
    assert (reader.weight == 0).all(dim=0).nonzero()[:, 0].tolist() == gone


@pytest.mark.parametrize(
    ("scores", "parameter", "dim", "said"),
    [
        ([0.5, 2.0], torch.zeros(2, 3), 0.0, "dim is 0.0, expected a whole number"),
        ([0.5, 2.0], torch.zeros(2, 3), None, "dim is None, expected a whole number"),
        ([0.5, 2.0], np.zeros((2, 3)), 0, "parameter is an ndarray; expected a parameter"),
        ("ab", torch.zeros(2, 3), 0, "the row of scores of the parameter has dtype"),
        ([[1.0], [2.0, 3.0]], torch.zeros(2, 3), 0, "cannot be read as an array"),
    ],
)
def test_what_is_no_row_parameter_or_axis_is_one_sentence(scores, parameter, dim, said):
    """Each was an error of torch or NumPy."""
    with pytest.raises(InputError, match=said):
        importance_scores(scores, parameter, dim=dim)


def test_scores_that_do_not_fit_a_parameter():
    with pytest.raises(InputError, match=r"2 scores for axis 0 of a parameter of shape \(3, 2\)"):
        importance_scores([1.0, 2], torch.zeros(3, 2))
    with pytest.raises(InputError, match="expected one for each unit"):
        importance_scores([1.0, 2], torch.zeros(3, 2), dim=2)
    with pytest.raises(InputError, match="expected numbers from 0 up"):
        importance_scores([-1.0, 2], torch.zeros(2, 2))


@pytest.mark.parametrize("given", [lambda m: m, lambda m: score_units(m), lambda m: [m], lambda m: None])
def test_layers_come_by_their_names(given):
    m = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4)), targets=np.arange(60) % 2)
    with pytest.raises(InputError, match=r"expected what phiscope\.measure_layers gives, or a mapping"):
        as_importance(given(m))
