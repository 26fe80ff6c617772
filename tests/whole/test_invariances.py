"""What every number is invariant to: as its row declares, and nothing beyond.

Random features, heads and targets are transformed, the head along with the features so that the outputs stay. What a
row declares must not move a number beyond rounding; what it does not declare, or not under the condition at hand, must
move it in at least one of the cases.
"""

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
from phiscope.metrics.width import alignment_gain, kernel_rescale, kernel_rotate
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.gathered import Gathered
from phiscope.theory import map_kernels, nngp
from phiscope.theory.signals import signal_slope
from phiscope.theory.tangent import parameter_distance, parameter_norm, tangent_kernel_distance

SEEDS = (0, 1, 2)

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


# Of kernels beside a reference that no change of the features touches, and of a theory that knows no features at all.
THEORY_X, THEORY_Y = np.random.default_rng(5).normal(size=(2, 5, 3))
SOLVED = map_kernels(THEORY_X, THEORY_Y[:, 0], width=30, depth=1, samples=1024)
OF_NO_FEATURES = {
    ("signal_slope", ""): signal_slope("erf", 1.3, 0.1),
    ("map_residual", ""): SOLVED.residual,
    ("map_sample_share", ""): SOLVED.sample_share,
}


def beside_the_theory(case, original):
    reference = nngp(original.X, 1).kernels[1]
    kernel = case.X @ case.X.T / case.X.shape[1]
    goal = case.y[:, None].astype(float) if case.y.ndim == 1 else case.y
    return {
        ("kernel_rescale", ""): kernel_rescale(kernel, reference),
        ("kernel_rotate", ""): kernel_rotate(kernel, reference),
        ("alignment_gain", ""): alignment_gain(kernel, reference, goal),
        **OF_NO_FEATURES,
    }


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


UNASKED = "where the coefficient test is not asked, which compares W with W₀"

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
    f"{UNASKED}; {KEEPS_ONES}": lambda s: s.variant == "" and s.differences_stay,
}
OF_LAYERS = "where the layer that makes the features is linear and turns with them"
LOOSE = {("readout_r2_held_out", "invertible_linear"): 1e-4}
# Numbers of parameters instead of features: below.
OF_PARAMETERS = ("parameter_norm", "parameter_distance", "tangent_kernel_distance")


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


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name not in OF_PARAMETERS])
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
    assert conditions == {*HOLDS, OF_LAYERS}
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
