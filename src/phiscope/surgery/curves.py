"""What is left of a network over how many units are kept, for every rule: the picture to look at before a cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import EmptyDataError, InputError, MissingNumberError, NonFiniteError, ShapeError, TargetError
from phiscope.inputs.arrays import as_head, as_rows, as_targets, brief, check_reach
from phiscope.inputs.settings import numbers_of
from phiscope.linalg.products import product
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.surgery.compensation import taken_over
from phiscope.surgery.costs import losses_of, right_of
from phiscope.surgery.material import Material, Ridge, Target, all_pairs, held_out_pair
from phiscope.surgery.scores import Rule, held_out_information, score_units
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

EIGENFEATURES = "eigenfeatures"
"""Name of the curve of the k leading eigenfeatures, which no unit has to go for."""

ALL_RULES: tuple[tuple[Rule, Target], ...] = (
    *((rule, "labels") for rule in get_args(Rule)),
    ("greedy", "outputs"),
)
"""Every rule with what it looks at."""

POINTS = 10
"""So many numbers of units are tried unless others are named."""


@dataclass(frozen=True, kw_only=True)
class CutCurve:
    """What is left under one rule.

    Attributes:
        rule: name of the rule, or "eigenfeatures".
        target: "labels" or "outputs".
        compensated: whether what stays takes over from what goes.
        accuracy: share right, of each network (rows) with each number of units, shape (S, K); of values R^2.
        change: mean squared change of the outputs as the moments predict it, shape (S, K).
        held_out: held-out discriminant information of what is kept, toward the labels, shape (S, K); NaN where there is
            none, and the curves' `warnings` say why.
    """

    rule: str
    target: str
    compensated: bool
    accuracy: FloatArray = field(repr=False)
    change: FloatArray = field(repr=False)
    held_out: FloatArray = field(repr=False)

    @property
    def label(self) -> str:
        """Rule and target in words."""
        return f"{self.rule}, {self.target}" if self.rule == "greedy" else self.rule


@dataclass(frozen=True, kw_only=True)
class CutCurves:
    """Curves of several rules on the same samples, of one network or several.

    Attributes:
        kept: numbers of units, shape (K,), rising.
        curves: one for each rule, without compensation and with it.
        whole: accuracy (or R^2) of the whole networks, shape (S,).
        n_samples: samples it was read on, of each network.
        of_values: whether targets are values, so that what is called accuracy is R^2.
        warnings: what a reader has to know.
    """

    kept: IntArray
    curves: tuple[CutCurve, ...]
    whole: FloatArray
    n_samples: int
    of_values: bool = False
    warnings: tuple[str, ...] = ()

    def joined(self, others: Iterable[CutCurves]) -> CutCurves:
        """The same curves of this network and of others, for intervals over networks.

        Raises:
            InputError: others were made with other rules or numbers of units.
        """
        every = [self, *others]
        names = [(one.kept.tolist(), [(c.label, c.compensated) for c in one.curves], one.of_values) for one in every]
        if any(name != names[0] for name in names):
            raise InputError(
                "these curves have other rules, numbers of units or kinds of targets; make all with the same rules=, "
                "counts= and targets"
            )
        joined = [
            CutCurve(
                rule=first.rule,
                target=first.target,
                compensated=first.compensated,
                accuracy=np.concatenate([one.curves[place].accuracy for one in every]),
                change=np.concatenate([one.curves[place].change for one in every]),
                held_out=np.concatenate([one.curves[place].held_out for one in every]),
            )
            for place, first in enumerate(self.curves)
        ]
        whole = np.concatenate([one.whole for one in every])
        warnings = dict.fromkeys(warning for one in every for warning in one.warnings)
        return replace(self, curves=tuple(joined), whole=whole, warnings=tuple(warnings))

    def figure(self) -> Drawing:
        """Accuracy against units kept, without compensation and with it; bands over networks (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.surgery_sheets import curves_sheet

        return drawn(curves_sheet(self), purpose="CutCurves.figure()")

    def keep(self, run: str | PathLike[str]) -> Path:
        """Keep the picture and its numbers with a run, so that the run's page shows them (needs no matplotlib).

        Raises:
            RunFormatError: there is no run.
            RunWriteError: the file cannot be written.
        """
        from phiscope.figures.kept import keep_sheet
        from phiscope.figures.paper.surgery_sheets import curves_sheet

        return keep_sheet(curves_sheet(self, headline="Units removed by every rule"), run)


def cut_curves(
    measurement: Measurement,
    head: Any,
    samples: tuple[Any, Any],
    *,
    rules: Sequence[tuple[Rule, Target]] = ALL_RULES,
    counts: Sequence[int] | None = None,
    ridge: Ridge = None,
    seed: int = 0,
) -> CutCurves:
    """Try every rule at several numbers of units of the head's input, without compensation and with it.

    No network is built and none is trained again: outputs follow from features.

    Args:
        measurement: of the head's features, with targets where a rule asks for labels; rules decide by it.
        head: (W, b), as arrays or tensors.
        samples: features (n, p) and targets of the samples that accuracy is read on, integers (n,) as classes or
            floats (n, C) as values; others than those of the measurement are fairer.
        rules: pairs of rule and target, see `score_units`.
        counts: numbers of units to keep; None takes ten from 1 to p.
        ridge: see `score_units`; also of the compensation.
        seed: of rule="random".

    Returns:
        A curve for each rule and compensation, and one of the leading eigenfeatures.

    Raises:
        InputError: counts outside 1..p, rules that are no pairs; see `score_units`.
        ShapeError: head, features, targets and measurement do not fit.
        NonFiniteError: features or targets hold NaN or Inf.
        TargetError: labels that the head does not have, or values that are all the same.

    Source: arXiv:2005.13796 for the scores; the picture is phiscope's own.

    Example:
        >>> from phiscope.measurement.diagonalize import diagonalize
        >>> x = np.random.default_rng(0).standard_normal((400, 4))
        >>> y, head = (x[:, 0] > 0).astype(int), (np.array([[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]), np.zeros(2))
        >>> m = diagonalize(x, head=head, targets=y)
        >>> made = cut_curves(m, head, (x, y), rules=[("greedy", "labels")], counts=[1])
        >>> made.curves[0].accuracy.tolist()
        [[1.0]]
    """
    weight, bias = as_head(head, as_measurement(measurement).n_features)
    _check_rules(rules)
    features, targets = _read(samples, measurement.n_features)
    kept = _counts(counts, measurement.n_features)
    trial = _Trial(measurement, weight, bias, features, targets, ridge)
    curves = []
    for rule, target in rules:
        order = score_units(measurement, rule=rule, target=target, ridge=ridge, head=(weight, bias), seed=seed).order
        sets = [np.sort(order[len(order) - count :]) for count in kept.tolist()]
        curves += [
            _curve(rule, target, compensate, [trial.units(one, compensate) for one in sets])
            for compensate in (False, True)
        ]
    curves.append(_curve(EIGENFEATURES, "none", True, [trial.leading(count) for count in kept.tolist()]))
    whole = np.asarray([trial.fit(weight, bias, features)])
    return CutCurves(
        kept=kept,
        curves=tuple(curves),
        whole=whole,
        n_samples=len(features),
        of_values=targets.ndim == 2,
        warnings=trial.warnings,
    )


def _check_rules(rules: Any) -> None:
    pairs = isinstance(rules, Sequence) and not isinstance(rules, str)
    if not pairs or not all(isinstance(one, tuple | list) and len(one) == 2 for one in rules):
        raise InputError(
            f"rules={brief(rules)}; expected pairs of rule and target, as [('greedy', 'labels'), ('random', 'labels')]"
        )


def _read(samples: Any, p: int) -> tuple[FloatArray, NDArray[Any]]:
    """Features (n, p) and targets as classes (n,) or values (n, c)."""
    if not isinstance(samples, tuple | list) or len(samples) != 2:
        raise InputError(f"samples is {brief(samples)}; expected the pair (features, targets)")
    features = as_rows(samples[0], name="features", letter="p").astype(np.float64)
    targets = as_targets(samples[1])
    if features.shape[1] != p or len(features) != len(targets):
        raise ShapeError(f"samples have {features.shape} features and {len(targets)} targets; expected (n, {p}) and n")
    if not len(features):
        raise EmptyDataError("no sample came; check that the samples are not empty")
    for one, name in ((features, "features"), (targets, "targets")):
        finite = np.isfinite(one).reshape(len(one), -1).all(axis=1)
        if not finite.all():
            raise NonFiniteError(
                f"{name} of the samples hold NaN or Inf (first in sample {int(finite.argmin())}), expected finite "
                "numbers; leave such samples out",
                where=name,
            )
    check_reach(float(np.abs(features).max()), name="features of the samples")
    if targets.ndim == 2 and not np.ptp(targets, axis=0).any():
        raise TargetError(
            "targets of the samples are all the same, so no share of their variance can be told; pass samples whose "
            "targets differ, or classes as integers"
        )
    return features, targets


def _counts(counts: Sequence[int] | None, p: int) -> IntArray:
    if counts is None:
        return np.unique(np.geomspace(1, p, min(POINTS, p)).round().astype(np.int64))
    return np.unique(numbers_of(counts, name="counts", of="numbers of units", most=p))


Tried = tuple[float, float, float]
"""Accuracy, predicted change, held-out discriminant information."""


class _Trial:
    """One head on some samples, with fewer units.

    Attributes:
        warnings: why there is no held-out score, where there is none.
    """

    def __init__(
        self,
        measurement: Measurement,
        weight: FloatArray,
        bias: FloatArray,
        features: FloatArray,
        targets: Any,
        ridge: Ridge,
    ) -> None:
        self._measurement, self._weight, self._bias = measurement, weight, bias
        self._features, self._targets, self._ridge = features, targets, ridge
        self._halves, self.warnings = _halves(measurement)

    def fit(self, weight: FloatArray, bias: FloatArray, features: FloatArray) -> float:
        """Share right, or R^2 of values."""
        outputs = product(features, weight.T) + bias
        right = right_of(outputs, self._targets)
        if right is not None:
            return float(right.mean())
        spread = float(np.sum((self._targets - self._targets.mean(axis=0)) ** 2))
        return 1 - float(losses_of(outputs, self._targets).sum()) / spread

    def units(self, kept: IntArray, compensate: bool) -> Tried:
        """With some units."""
        weight, bias, change = taken_over(self._measurement, self._weight, self._bias, kept, self._ridge, compensate)
        held_out = np.nan if self._halves is None else held_out_information(self._halves, kept, self._ridge)
        return self.fit(weight, bias, self._features[:, kept]), change, float(held_out)

    def leading(self, count: int) -> Tried:
        """With the leading eigenfeatures."""
        m = self._measurement
        vectors, rho = all_pairs(m, "the change by what is dropped")
        read = product(self._weight, vectors)
        change = float(np.sum(rho[count : read.shape[1]] * np.sum(read[:, count:] ** 2, axis=0)))
        held = product(read[:, :count], vectors[:, :count].T)
        bias = self._bias + product(self._weight - held, m.feature_mean)
        return self.fit(held, bias, self._features), change, float("nan")


def _halves(measurement: Measurement) -> tuple[tuple[Material, Material] | None, tuple[str, ...]]:
    """Two halves of the samples; where there are none, as of a stored measurement without shards, the reason."""
    try:
        return held_out_pair(measurement, "labels", None), ()
    except (InputError, MissingNumberError) as error:
        return None, (f"no held-out score: {error}",)


def _curve(rule: str, target: str, compensated: bool, tried: Sequence[Tried]) -> CutCurve:
    accuracy, change, held_out = (np.asarray([column]) for column in zip(*tried, strict=True))
    return CutCurve(
        rule=rule, target=target, compensated=compensated, accuracy=accuracy, change=change, held_out=held_out
    )
