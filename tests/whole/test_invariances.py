"""What every number is invariant to: as its row declares, and nothing beyond.

Random features, heads and targets are transformed, the head along with the features so that the outputs stay. What a
row declares must not move a number beyond rounding; what it does not declare, or not under the condition at hand, must
move it in at least one of the cases.
"""

import copy
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope import surgery
from phiscope.glossary.definition import CENTERED_ONE, KEEPS_ONES, TRANSFORMATIONS
from phiscope.measurement.assemble import measurement_of
from phiscope.metrics import CURVES, DEFINITIONS
from phiscope.metrics.movement import relative_change
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.gathered import Gathered
from phiscope.theory import criticality, kernel_report
from phiscope.theory.signals import signal_slope
from phiscope.theory.tangent import parameter_distance, parameter_norm, tangent_kernel_distance

SEEDS = (0, 1)

# Float64 on p <= 7 features with condition numbers below 1e3, squared in eigenvectors.
UNMOVED = 1e-7
MOVED = 1e-3


@dataclass(frozen=True)
class Case:
    """Features, the head that belongs to them, and targets."""

    X: np.ndarray
    W: np.ndarray
    b: np.ndarray
    y: np.ndarray
    spanning: bool = False

    @property
    def classes(self):
        return self.y.ndim == 1 and self.y.dtype.kind == "i"


def class_case(g, C, p, head=None):
    y = g.integers(0, C, 160)
    X = 1.5 * g.normal(size=(C, p))[y] + g.normal(size=(160, p)) * np.linspace(0.4, 1.4, p) + g.normal(size=p)
    return Case(X, g.normal(size=(C, p)) if head is None else head, g.normal(size=C), y, spanning=p < C)


def common_shift_case(g):
    """Logits a, 2a, 3a plus a common s: of rank 2, their differences of rank 1."""
    a, s = g.normal(size=(2, 6))
    return class_case(g, 3, 6, head=np.outer([1.0, 2.0, 3.0], a) + s)


def value_case(g):
    # The weakest singular value is about a hundredth of all, where srank counts it or not.
    X = g.normal(size=(160, 6)) * np.linspace(0.05, 2, 6) + g.normal(size=6)
    y = X @ g.normal(size=(6, 2)) * [1, 2] + g.normal(size=(160, 2))
    return Case(X, g.normal(size=(2, 6)), g.normal(size=2), y)


CASES = {
    "classes": lambda g: class_case(g, 4, 6),
    "classes that span the features": lambda g: class_case(g, 7, 4),
    "logits with a common shift": common_shift_case,
    "values": value_case,
}


def mixing(g, size):
    """An invertible matrix with condition number 6."""
    left, right = (np.linalg.qr(g.normal(size=(size, size)))[0] for _ in range(2))
    return left @ np.diag(np.linspace(0.5, 3, size)) @ right


def on_features(case, A, shift=0.0):
    """Features A phi + shift, and the head along."""
    W = case.W @ np.linalg.inv(A)
    return Case(case.X @ A.T + shift, W, case.b - W @ (shift * np.ones(len(A))), case.y, case.spanning)


def on_outputs(case, A):
    return Case(case.X, A @ case.W, A @ case.b, case.y, case.spanning)


def keeping_ones(A):
    """A matrix near A that takes the all-ones vector to itself."""
    return A + (1 - A.sum(axis=1, keepdims=True)) / len(A)


def transformed(case, g):
    """(transformation, whether it keeps the all-ones vector, case) for one draw of each."""
    p, C = case.X.shape[1], len(case.W)
    yield "orthogonal", True, on_features(case, np.linalg.qr(g.normal(size=(p, p)))[0])
    yield "permutation", True, on_features(case, np.eye(p)[np.roll(np.arange(p), 1)])
    yield "translation", True, on_features(case, np.eye(p), 20 * g.normal(size=p))
    yield "isotropic_scaling", True, on_features(case, g.uniform(2, 4) * np.eye(p))
    yield "invertible_linear", True, on_features(case, mixing(g, p))
    yield "invertible_outputs", False, on_outputs(case, mixing(g, C))
    yield "invertible_outputs", True, on_outputs(case, 2 * keeping_ones(mixing(g, C)))


WORDS = ("coefficient", "minimal", "intermediate", "extended", None)


def accumulated(features, outputs=None):
    accumulator = MomentAccumulator()
    accumulator.update(features=features, outputs=outputs)
    return accumulator.result()


PRIORS = {
    "by the weights": {},
    "fixed at g_b = 0": {"weight_variance": 1.3, "bias_variance": 0.0},
    "fixed at g_b = 1": {"weight_variance": 1.3, "bias_variance": 1.0},
}
"""Where a kernel beside infinite width has its g and g_b from."""


def as_network(case, original):
    """Two linear layers with the features between them: a change of the features is one of the first layer's weights.

    Returns:
        The network and the inputs that it takes, which no change of the features touches.
    """
    p = case.X.shape[1]
    first = mixing(np.random.default_rng(3), p)
    inputs = original.X @ np.linalg.inv(first).T
    made, *_ = np.linalg.lstsq(np.column_stack([inputs, np.ones(len(inputs))]), case.X, rcond=None)
    net = nn.Sequential(nn.Linear(p, p), nn.Linear(p, len(case.W))).double()
    with torch.no_grad():
        for layer, weight, bias in ((net[0], made[:-1].T, made[-1]), (net[1], case.W, case.b)):
            layer.weight.copy_(torch.from_numpy(weight.copy()))
            layer.bias.copy_(torch.from_numpy(bias.copy()))
    return net, torch.from_numpy(inputs)


def beside_the_theory(case, original):
    net, inputs = as_network(case, original)
    np.testing.assert_allclose(net[0](inputs).detach().numpy(), case.X, rtol=0, atol=1e-9)
    found = {}
    for variant, prior in PRIORS.items():
        (layer,) = kernel_report(net, inputs[:40], case.y[:40], **prior).layers
        found |= {
            ("kernel_rescale", variant): layer.rescale,
            ("kernel_rotate", variant): layer.rotate,
            ("alignment_gain", variant): layer.alignment_gain,
        }
    variances = [(layer.weight_variance, layer.bias_variance) for layer in criticality(net, inputs).layers]
    # The slope of erf reads both variances; that of a linear network reads g alone.
    found["signal_slope", ""] = [signal_slope("erf", *one) for one in variances]
    return found


def values(case, original):
    """Everything phiscope says of a case: (name, variant) -> numbers. The start of a training is the original."""
    head, found = (case.W, case.b), {}
    m = phiscope.diagonalize(case.X, head=head, targets=case.y, rank_tolerance=1e-9)
    found |= {(name, ""): value for name, value in m.to_dict().items()}
    for curve in CURVES:
        found |= {(curve, kind): getattr(getattr(m, kind), curve) for kind in ("raw", "centered")}
    found["quality_excess", ""], found["held_out_quality", ""] = m.quality_excess(), m.held_out_quality()
    for centered in (True, False):
        found["readout_curve", f"centered={centered}"] = m.readout_curve([0.1, 0.5, 2.0], centered=centered)
    found["tolerance_curve", ""], found["k90", ""] = m.tolerance_curve, m.evidence.k90
    found["regime", ""] = WORDS.index(m.regime)
    kept = phiscope.restrict(m, (case.X, case.y), head)
    found["restricted_loss", ""] = kept.loss
    if case.classes:
        found |= {("restricted_accuracy", ""): kept.accuracy, ("nc4", ""): kept.nc4}
    return found | of_surgery(case, m) | of_two_maps(case, original) | beside_the_theory(case, original)


def of_surgery(case, m):
    """Units go by their own numbers, so that sorted losses are the same in any order of the features."""
    head = (case.W, case.b)
    scores = surgery.score_units(m, rule="exact")
    cut = surgery.cut_curves(m, head, (case.X, case.y), rules=[("exact", "labels")], counts=[2, 3])
    net = nn.Linear(*case.W.shape[::-1]).double()
    net.load_state_dict({"weight": torch.from_numpy(case.W.copy()), "bias": torch.from_numpy(case.b.copy())})
    done = surgery.damage(nn.Sequential(nn.Identity(), net), (torch.from_numpy(case.X), torch.from_numpy(case.y)), m)
    found = {
        ("ridge_information", ""): scores.total,
        ("information_lost", ""): np.sort(scores.loss),
        ("held_out_information", ""): scores.held_out[-1, 1],
        ("outputs_change", ""): np.stack([one.change for one in cut.curves[:2]]),
        ("compressed_head_error", ""): surgery.compress_head(m, head, 2).predicted_error,
        ("loss_added", ""): done.loss_added[:, 0],
        ("logit_change", ""): done.logit_change,
    }
    return found | ({("accuracy_lost", ""): done.accuracy_lost[:, 0]} if case.classes else {})


def of_two_maps(case, original):
    found = {}
    for k in (None, 2):
        c = phiscope.compare(case.X, np.tanh(original.X @ mixing(np.random.default_rng(9), original.X.shape[1])), k=k)
        found["principal_angles", f"k={k}"] = c.principal_angles
    found |= {(name, ""): getattr(c, name) for name in ("cka", "cka_unbiased", "persistence")}
    found["overlap", ""] = np.abs(c.overlap)  # signs are arbitrary
    started = measurement_of(
        Gathered(
            moments=accumulated(case.X),
            head=(case.W, case.b),
            paired=accumulated(original.X + 0.001, case.X),
            head_change=relative_change(case.W, original.W * (1 + 1e-6)),
        )
    )
    for name in ("initial_kernel_similarity", "initial_kernel_similarity_raw"):
        # Not the features' own start, which nothing would set apart from them.
        other = accumulated(np.tanh(original.X), case.X)
        found[name, ""] = measurement_of(Gathered(moments=accumulated(case.X), paired=other))[name]
    found["regime", "asked for its start"] = WORDS.index(started.regime)
    return found


@dataclass(frozen=True)
class Situation:
    variant: str
    case: Case
    keeps_ones: bool

    @property
    def differences_stay(self):
        return self.keeps_ones or not self.case.classes


OF_LAYERS = "where the layer that makes the features is linear and turns with them"
FIXED = "with g and g_b fixed"
READ = "with both read from the weights and the layer below scaled along"
UNASKED = "where the coefficient test is not asked, which compares W with W₀"
SAME_UNITS = f"where as many units vary afterwards, which p′ counts, and {UNASKED.removeprefix('where ')}"

# Every condition that rows declare, as a question to the situation.
HOLDS = {
    "": lambda s: True,
    KEEPS_ONES: lambda s: s.differences_stay,
    CENTERED_ONE: lambda s: s.variant == "centered",
    f"the raw one with any A; the centered one, {KEEPS_ONES}": lambda s: s.variant == "raw" or s.differences_stay,
    "where the class means span all features": lambda s: s.case.spanning,
    "up to what its small ridge weighs": lambda s: True,
    "with centered=True": lambda s: s.variant == "centered=True",
    "between all of both spans, k=None": lambda s: s.variant == "k=None",
    UNASKED: lambda s: s.variant == "",
    # In all cases here every unit varies, before and after; the other side is a test of its own.
    SAME_UNITS: lambda s: s.variant == "",
    f"{UNASKED}; {KEEPS_ONES}": lambda s: s.variant == "" and s.differences_stay,
    OF_LAYERS: lambda s: True,
    FIXED: lambda s: s.variant.startswith("fixed"),
    READ: lambda s: s.variant == "by the weights",
    f"{FIXED} only at g_b = 0; {READ}": lambda s: s.variant != "fixed at g_b = 1",
}
LOOSE = {("readout_r2_held_out", "invertible_linear"): 1e-4}
# Numbers of parameters, and of a theory that is told no features: below.
OF_PARAMETERS = ("parameter_norm", "parameter_distance", "tangent_kernel_distance")
OF_NO_FEATURES = ("map_residual", "map_sample_share")


def distance(one, other):
    """Largest difference as a share of the largest entry; infinite where even the shapes differ."""
    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.shape != b.shape:
        return np.inf
    size = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return float(np.abs(a - b).max() / size) if size > 1e-9 else 0.0


@pytest.fixture(scope="module")
def moved():
    """(name, variant, transformation, declared there) -> distances over all cases and seeds."""
    found = defaultdict(list)
    for make in CASES.values():
        for seed in SEEDS:
            g = np.random.default_rng(seed)
            original = make(g)
            before = values(original, original)
            for transformation, keeps, case in transformed(original, g):
                after = values(case, original)
                for name, variant in before.keys() & after.keys():
                    condition = DEFINITIONS[name].invariances.get(transformation)
                    declared = condition is not None and HOLDS[condition](Situation(variant, case, keeps))
                    gap = distance(before[name, variant], after[name, variant])
                    found[name, variant, transformation, declared].append(gap)
    return found


@pytest.mark.parametrize("name", [one for one in DEFINITIONS if one not in (*OF_PARAMETERS, *OF_NO_FEATURES)])
def test_invariant_as_declared_and_to_nothing_else(name, moved):
    mine = {key[1:]: gaps for key, gaps in moved.items() if key[0] == name}
    assert {transformation for _, transformation, _ in mine} == set(TRANSFORMATIONS), "not measured in any case"
    for (variant, transformation, declared), gaps in mine.items():
        where = f"{name} {variant} under {transformation}: {max(gaps):.3g}"
        if declared:
            assert max(gaps) <= LOOSE.get((name, transformation), UNMOVED), f"{where}, declared invariant"
        else:
            assert max(gaps) > MOVED, f"{where}, not declared invariant"


def test_every_condition_is_one_that_is_tested_here():
    conditions = {text for row in DEFINITIONS.values() for text in row.invariances.values()}
    assert conditions == {*HOLDS}
    assert all(set(row.invariances) <= set(TRANSFORMATIONS) for row in DEFINITIONS.values())


def test_conditions_are_seen_from_both_sides(moved):
    """Each condition holds in some case and fails in another; one that always holds would be none."""
    for name, row in DEFINITIONS.items():
        for transformation, condition in row.invariances.items():
            if condition not in ("", "up to what its small ridge weighs", OF_LAYERS):
                sides = {key[3] for key in moved if (key[0], key[2]) == (name, transformation)}
                assert sides == {True, False}, (name, transformation)


def test_control_heads_follow_the_features():
    """Without the head along, numbers of outputs move under every change of the features: the test would see it."""
    original = CASES["classes"](np.random.default_rng(0))
    before = values(original, original)
    for transformation, _, case in transformed(original, np.random.default_rng(1)):
        if transformation not in ("invertible_outputs", "translation", "isotropic_scaling"):
            alone = Case(case.X, original.W, original.b, original.y)
            gap = distance(values(alone, original)["used_variance", ""], before["used_variance", ""])
            assert gap > MOVED, transformation


def test_the_regime_counts_units_that_vary():
    """Three classes collapsed on two of many units cannot be told from a bottleneck; turned, all units vary."""
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    features = np.zeros((90, 24))
    features[:, :2] = np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]])[classes]
    weights = rng.normal(size=(3, 24))
    turn = np.linalg.qr(rng.normal(size=(24, 24)))[0]
    regimes = [
        phiscope.diagonalize(features @ by, head=(weights @ by, None), targets=classes).regime
        for by in (np.eye(24), turn)
    ]
    assert regimes[0] is None
    assert regimes[1] is not None


# Numbers of parameters.


def linear_features(seed=0):
    """A network whose features are a linear layer's output, so that any change of them is one of its weights."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.Linear(4, 2)).double()


def reparametrized(net, A=None, shift=0.0, B=None):
    """Features A phi + shift with the head along, then outputs B f."""
    made = linear_features()
    made.load_state_dict(net.state_dict())
    features, head = made[2], made[3]
    A = torch.eye(4).double() if A is None else torch.as_tensor(A)
    B = torch.eye(2).double() if B is None else torch.as_tensor(B)
    with torch.no_grad():
        shift = shift * torch.ones(4).double()
        features.weight.copy_(A @ features.weight)
        features.bias.copy_(A @ features.bias + shift)
        head.weight.copy_(B @ head.weight @ torch.linalg.inv(A))
        head.bias.copy_(B @ head.bias - head.weight @ shift)
    return made


def of_parameters(net, start, x):
    kernels = [phiscope.tangent_kernel(one, x) for one in (start, net)]
    values = parameter_norm(net), parameter_distance(net, start), tangent_kernel_distance(*kernels)
    return dict(zip(OF_PARAMETERS, values, strict=True))


def test_numbers_of_parameters():
    g = np.random.default_rng(0)
    start, net = linear_features(0), linear_features(1)
    x = torch.from_numpy(g.normal(size=(12, 3)))
    changes = {
        "orthogonal": {"A": np.linalg.qr(g.normal(size=(4, 4)))[0]},
        "permutation": {"A": np.eye(4)[[1, 2, 3, 0]]},
        "translation": {"shift": 1.5},
        "isotropic_scaling": {"A": 3 * np.eye(4)},
        "invertible_linear": {"A": mixing(g, 4)},
        "invertible_outputs": {"B": mixing(g, 2)},
    }
    assert set(changes) == set(TRANSFORMATIONS)
    before = of_parameters(net, start, x)
    for transformation, change in changes.items():
        other = reparametrized(net, **change)
        if transformation != "invertible_outputs":
            torch.testing.assert_close(other(x), net(x))
        after = of_parameters(other, start, x)
        for name in OF_PARAMETERS:
            gap = distance(before[name], after[name])
            if transformation in DEFINITIONS[name].invariances:
                assert gap <= UNMOVED, (name, transformation)
            else:
                assert gap > MOVED, (name, transformation, gap)


# Numbers of a theory that reads inputs and targets.


def hidden_layer(activation, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 60), activation(), nn.Linear(60, 2)).double()


def with_features(net, A, shift=0.0, B=None):
    """Features A phi + shift by the layer that makes them, the head along, then outputs B f."""
    made = copy.deepcopy(net)
    A = torch.as_tensor(A)
    B = torch.eye(2).double() if B is None else torch.as_tensor(B)
    with torch.no_grad():
        made[0].weight.copy_(A @ made[0].weight)
        made[0].bias.copy_(A @ made[0].bias + shift)
        made[2].weight.copy_(B @ net[2].weight @ torch.linalg.inv(A))
        made[2].bias.copy_(B @ net[2].bias - made[2].weight.sum(dim=1) * shift)
    return made


def feature_changes(g):
    return {
        "orthogonal": {"A": np.linalg.qr(g.normal(size=(60, 60)))[0]},
        "permutation": {"A": np.eye(60)[np.roll(np.arange(60), 1)]},
        "translation": {"A": np.eye(60), "shift": 1.5},
        "isotropic_scaling": {"A": 2 * np.eye(60)},
        "invertible_linear": {"A": mixing(g, 60)},
        "invertible_outputs": {"A": np.eye(60), "B": np.diag([20.0, 1.0])},
    }


# A ReLU between the layers passes on no more than these.
OF_RELU = ("permutation", "isotropic_scaling", "invertible_outputs")


@pytest.mark.parametrize("activation", [nn.Identity, nn.ReLU])
def test_numbers_of_the_theory_alone_read_no_features(activation):
    """Of a prior that is given: with one that is read from the weights they move, as the control says."""
    g = np.random.default_rng(0)
    x = torch.from_numpy(g.normal(size=(6, 3)))
    targets = (x[:, 0] * x[:, 1])[:, None]
    net = hidden_layer(activation)

    def solved(one, **prior):
        theory = kernel_report(one, x, targets, noise=0.3, **prior).theory
        return {"map_residual": theory.residual, "map_sample_share": theory.sample_share}

    prior = {"weight_variance": (1.0, 1.4), "bias_variance": 0.1}
    before, read = solved(net, **prior), solved(net)
    moved = set()
    for transformation, change in feature_changes(g).items():
        if activation is nn.ReLU and transformation not in OF_RELU:
            continue
        other = with_features(net, **change)
        B = torch.as_tensor(change.get("B", np.eye(2)))
        torch.testing.assert_close(other(x), net(x) @ B.T)
        for name, value in solved(other, **prior).items():
            assert set(DEFINITIONS[name].invariances) == set(TRANSFORMATIONS)
            assert value == before[name], (name, transformation)
        moved |= {name for name, value in solved(other).items() if distance(value, read[name]) > MOVED}
    # A linear network's averages are in closed form, and no sample has a share of 1 to lose.
    assert moved == {"map_residual"} if activation is nn.Identity else moved == set(OF_NO_FEATURES)


def test_the_slope_of_signals_is_one_of_the_weights():
    """phi -> 2 phi, W -> W / 2 leaves a ReLU network as it is and moves chi; units in another order do not."""
    net = hidden_layer(nn.ReLU)
    x = torch.randn(8, 3).double()
    slopes = np.array([layer.slope for layer in criticality(net).layers])
    scaled = with_features(net, 2 * np.eye(60))
    torch.testing.assert_close(scaled(x), net(x))
    np.testing.assert_allclose([one.slope for one in criticality(scaled).layers], slopes * [4, 1 / 4], rtol=1e-9)
    permuted = with_features(net, np.eye(60)[np.roll(np.arange(60), 1)])
    torch.testing.assert_close(permuted(x), net(x))
    np.testing.assert_allclose([one.slope for one in criticality(permuted).layers], slopes, rtol=1e-9)
