"""Numbers that need targets, and what float targets may mean: one-hot rows and soft labels are named."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.findings.targets import doubts_about_rows
from phiscope.linalg.operators import PositiveOperator

G = np.random.default_rng(0)
N, P, CLASSES = 90, 5, 3
X, LABELS = G.normal(size=(N, P)), np.arange(N) % CLASSES
HOT = np.eye(CLASSES)[LABELS]
SOFT = np.exp(G.normal(size=(N, CLASSES)))
SOFT /= SOFT.sum(1, keepdims=True)
HEAD = (G.normal(size=(CLASSES, P)), G.normal(size=CLASSES))

DOUBTED = {
    "one-hot": (HOT, "is one-hot"),
    "smoothed labels": (0.9 * HOT + 0.1 / CLASSES, "adds up to 1, as soft labels do"),
    "soft labels": (SOFT, "adds up to 1, as soft labels do"),
    "soft labels in half precision": (SOFT.astype(np.float16), "adds up to 1, as soft labels do"),
    "soft labels in bfloat16": (torch.tensor(SOFT).bfloat16(), "adds up to 1, as soft labels do"),
    "labels of two mixed samples": (0.3 * HOT + 0.7 * HOT[::-1], "adds up to 1, as soft labels do"),
}
FREE = {
    "several labels a sample": (G.random((N, CLASSES)) > 0.5) * 1.0,
    "measured values": G.normal(size=(N, CLASSES)),
    "one column": HOT[:, :1],
    "signs": 2 * HOT - 1,
    "shares of another whole": 2 * SOFT,
    "parts that cancel": np.c_[3 * X[:, 0], 1 - 3 * X[:, 0]],
    "classes": LABELS,
}
WORDS = "each row of the float targets"


def told(measured):
    return [text for text in measured.warnings if WORDS in text]


@pytest.mark.parametrize("settings", [{}, {"head": HEAD}, {"k": 2}, {"weights": G.random(N) + 0.1}], ids=str)
@pytest.mark.parametrize("name", DOUBTED)
def test_targets_that_may_be_classes_are_named(name, settings):
    targets, words = DOUBTED[name]
    (said,) = told(phiscope.diagonalize(X, targets=targets, **settings))
    assert words in said
    assert "pass integers" in said


@pytest.mark.parametrize("name", FREE)
def test_other_targets_are_not(name):
    assert told(phiscope.diagonalize(X, targets=FREE[name], head=HEAD)) == []


def test_the_two_readings_differ_as_the_warning_says():
    values = phiscope.diagonalize(X, targets=HOT, head=HEAD)
    classes = phiscope.diagonalize(X, targets=HOT.argmax(1), head=HEAD)
    assert values["used_variance"] != pytest.approx(classes["used_variance"], rel=1e-3)
    assert "nc1" in classes.to_dict()
    assert "nc1" not in values.to_dict()
    assert values["readout_r2"] == pytest.approx(classes["readout_r2"], rel=1e-9)


def test_networks_and_their_layers_say_it_once():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(P, 6), nn.ReLU(), nn.Linear(6, CLASSES))
    data = [
        (torch.tensor(X[:40]).float(), torch.tensor(HOT[:40])),
        (torch.tensor(X[40:]).float(), torch.tensor(HOT[40:])),
    ]
    assert len(told(phiscope.measure(net, data))) == 1
    for measured in phiscope.measure_layers(net, data).values():
        assert len(told(measured)) == 1


@pytest.mark.parametrize("size", [1, 2, 50])
def test_the_moments_alone_tell(size):
    shares = np.full(size, 1 / size)
    one_hot = PositiveOperator(matrix=np.diag(shares) - np.outer(shares, shares))
    assert bool(doubts_about_rows(one_hot, shares)) == (size > 1)
    assert doubts_about_rows(PositiveOperator(matrix=np.eye(size)), shares) == ()
