"""How much each unit of a layer says, and in which order to remove units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from phiscope.errors import InputError, MissingNumberError, UnknownNameError
from phiscope.inputs.settings import check_seed, is_word
from phiscope.linalg.positive import cholesky_factor, inverse_of, solve_positive
from phiscope.linalg.products import product, squared_lengths
from phiscope.measurement.record import Measurement
from phiscope.surgery.greedy import removal
from phiscope.surgery.material import (
    Material,
    Ridge,
    Target,
    held_out_pair,
    material_of,
    regularized,
    weight_of,
)
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

Rule = Literal["random", "magnitude", "std_magnitude", "gradient", "exact", "greedy"]
"""How units are ordered; see `score_units`."""

RULES: tuple[str, ...] = get_args(Rule)

HELD_OUT_POINTS = 24
"""At so many numbers of units the score is also read on samples that it was not made from."""


@dataclass(frozen=True, kw_only=True)
class UnitScores:
    """Units of one layer, by how little is lost without them.

    Attributes:
        rule: how they were ordered.
        target: what the features shall say.
        total: discriminant information DI(r) of all units: of classes a count, 0..min(p, C - 1); of values in squared
            target units and of outputs in squared output units, 0..the summed variance of either. So are `score` of the
            rules that read it, `loss`, `cumulative` and `held_out`.
        score: what the rule orders by, by unit, shape (p,); NaN for "random".
        loss: DI lost with each unit, by unit, shape (p,): alone, or for "greedy" when its turn comes.
        order: units, first removed first, shape (p,).
        cumulative: DI lost with the first 1, 2, ..., p units of the order, shape (p,).
        held_out: rows of units kept and DI on samples that the readout was not made from, shape (T, 2); to compare with
            itself only, as it falls where the readout learns by heart.
        added: r, what was added to the covariance's diagonal, in squared feature units.
        n_samples: equally weighted samples that say as much.
        warnings: what a reader has to know.
    """

    rule: str
    target: str
    total: float
    score: FloatArray = field(repr=False)
    loss: FloatArray = field(repr=False)
    order: IntArray = field(repr=False)
    cumulative: FloatArray = field(repr=False)
    held_out: FloatArray = field(repr=False)
    added: float
    n_samples: float
    warnings: tuple[str, ...] = ()

    def kept(self, keep: int) -> IntArray:
        """The units that are left when so many are kept, in the layer's order.

        Raises:
            InputError: fewer than one, or more than there are.
        """
        p = len(self.order)
        if isinstance(keep, bool) or not isinstance(keep, int | np.integer) or not 1 <= keep <= p:
            raise InputError(f"keep={keep!r}; expected a number of units from 1 to {p}")
        return np.sort(self.order[p - int(keep) :])

    @property
    def importance(self) -> FloatArray:
        """What is large where a unit matters, by unit, shape (p,), for tools that cut what is lowest.

        What the rule orders by; where that is a sequence ("greedy"), all DI lost until the unit went; for "random" its
        place in the order, from 1.
        """
        p = len(self.order)
        along = {"greedy": np.maximum.accumulate(self.cumulative), "random": np.arange(1.0, p + 1)}.get(self.rule)
        if along is None:
            return self.score
        by_unit = np.empty(p)
        by_unit[self.order] = along
        return by_unit

    def figure(self) -> Drawing:
        """DI against units kept, on the samples it was made from and on others (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.surgery_sheets import scores_sheet

        return drawn(scores_sheet(self), purpose="UnitScores.figure()")


def score_units(
    measurement: Measurement,
    *,
    rule: Rule = "greedy",
    target: Target = "labels",
    ridge: Ridge = None,
    head: Any = None,
    seed: int = 0,
) -> UnitScores:
    """Order the units of the measured layer by how little is lost without them.

    The measure is discriminant information, DI(r) = tr((S + r I)^-1 S_B), what a ridge readout of the targets holds;
    with ``target="outputs"`` the network's own outputs take the place of the targets, so that no labels are needed and
    what is kept is what the network says now.

    Args:
        measurement: of the layer's features; fresh for the held-out score, else with all its eigenvectors.
        rule: "random"; "magnitude": 1-norm of the outgoing weights; "std_magnitude": standard deviation times their
            2-norm; "gradient": 2 r norm^2(A_i), the released code's; "exact": DI lost without this unit alone;
            "greedy": the unit that loses least, then the next of what is left, exactly.
        target: "labels" (classes or values) or "outputs".
        ridge: r in squared feature units; None takes 1e-3 tr S / p; "oas" what the oracle-approximating
            shrinkage of the covariance comes to.
        head: (W, b), where outgoing weights or outputs decide; outputs that were measured with the features, as
            `phiscope.measure_layers` does for inner layers, need none.
        seed: of "random".

    Raises:
        UnknownNameError: there is no such rule.
        InputError: a ridge or seed below 0; the measurement lacks targets or eigenvectors; a rule needs the head.

    Source: arXiv:2005.13796 v1 (discriminant information, gradient rule); exact and greedy losses and the outputs'
    variant are phiscope's own.

    Example:
        >>> from phiscope.measurement.diagonalize import diagonalize
        >>> random = np.random.default_rng(0)
        >>> y = np.arange(600) % 2
        >>> x = np.column_stack([y + 0.1 * random.standard_normal(600), random.standard_normal((600, 3))])
        >>> int(score_units(diagonalize(x, targets=y)).kept(1)[0])
        0
    """
    if not is_word(rule, RULES):
        raise UnknownNameError("rule", str(rule), RULES)
    check_seed(seed)
    material = material_of(measurement, target, head)
    matrix, added = regularized(material.covariance, material.n_samples, ridge)
    factor = _factor(matrix, ridge)
    inverse = inverse_of(factor)
    readout = product(inverse, material.target)
    alone = squared_lengths(readout) / np.diagonal(inverse)
    total = float(np.sum(readout * material.target))
    score = _score(rule, material, added, readout, alone, head)
    order = _order(rule, score, seed)
    done = removal(inverse, readout, order)
    loss = alone
    if rule == "greedy":
        loss = np.empty_like(done.losses)
        loss[done.order] = done.losses
        score = loss
    held_out, warnings = _held_out(measurement, target, head, ridge, done.order)
    return UnitScores(
        rule=rule,
        target=target,
        total=total,
        score=score,
        loss=loss,
        order=done.order,
        cumulative=np.cumsum(done.losses),
        held_out=held_out,
        added=added,
        n_samples=material.n_samples,
        warnings=(*_few(material), *_alike(score, rule, target), *warnings),
    )


def _factor(matrix: FloatArray, ridge: Ridge) -> FloatArray:
    """The Cholesky factor of a regularized covariance."""
    if not matrix.any():
        raise InputError(
            f"all {len(matrix)} units are constant on the measured samples, so there is nothing to score; measure on "
            "samples on which they vary"
        )
    factor = cholesky_factor(matrix)
    if factor is None:
        raise InputError(
            f"with ridge={ridge!r} the covariance of {len(matrix)} units is singular (dead or repeated units, or too "
            "few samples); pass a ridge above 0, or None"
        )
    return factor


def _score(
    rule: str, material: Material, added: float, readout: FloatArray, alone: FloatArray, head: Any
) -> FloatArray:
    p = len(alone)
    if rule in ("magnitude", "std_magnitude"):
        weight = weight_of(head, p, f'rule="{rule}"')
        if rule == "magnitude":
            return np.asarray(np.abs(weight).sum(axis=0))
        return np.asarray(np.sqrt(np.diagonal(material.covariance)) * np.sqrt(squared_lengths(weight.T)))
    if rule == "gradient":
        return 2 * added * squared_lengths(readout)
    return alone if rule == "exact" else np.full(p, np.nan)


def _order(rule: str, score: FloatArray, seed: int) -> IntArray | None:
    if rule == "greedy":
        return None
    if rule == "random":
        return np.random.default_rng(seed).permutation(len(score))
    return np.argsort(score, kind="stable")


def _few(material: Material) -> tuple[str, ...]:
    n, p = material.n_samples, len(material.mean)
    if n >= 10 * p:
        return ()
    return (
        f"{n:.0f} samples for {p} units: scores on fewer than about 10 p = {10 * p} samples are mostly noise; the "
        "held-out score says how much of them is left",
    )


def _alike(score: FloatArray, rule: str, target: Target) -> tuple[str, ...]:
    """That an order is none, where no unit has anything of what the rule looks at."""
    if np.any(score != 0):
        return ()
    whose = f"the {target} do not vary on these samples, or the units say nothing of them"
    why = {
        "gradient": f"{whose}, or the ridge, by which this rule multiplies, is 0",
        "magnitude": "no weight of the head is other than 0",
        "std_magnitude": "no unit that varies has a weight of the head other than 0",
    }.get(rule, whose)
    return (f'every unit scores 0 by rule="{rule}" ({why}): they stand in the order of the layer, which says nothing',)


def _held_out(
    measurement: Measurement, target: Target, head: Any, ridge: Ridge, order: IntArray
) -> tuple[FloatArray, tuple[str, ...]]:
    """DI on other samples than the readout's, along an order; both halves in turn."""
    try:
        halves = held_out_pair(measurement, target, head)
    except (InputError, MissingNumberError) as error:
        return np.empty((0, 2)), (f"no held-out score: {error}",)
    p = len(order)
    counts = np.unique(np.geomspace(1, p, HELD_OUT_POINTS).round().astype(int))
    rows = [(keep, held_out_information(halves, order[p - keep :], ridge)) for keep in counts.tolist()]
    return np.asarray(rows, dtype=np.float64), ()


def held_out_information(halves: tuple[Material, Material], kept: IntArray, ridge: Ridge = None) -> float:
    """Discriminant information of some units on samples that the readout was not made from, both halves in turn.

    Args:
        halves: from `phiscope.surgery.material.held_out_pair`.
        kept: the units, shape (k,).
        ridge: of the readout; see `regularized`.

    Returns:
        2 tr(A^T N') - tr(A^T S' A) with A of one half and N', S' of the other, averaged; may be below 0.
    """
    return float(np.mean([_on_other(fit, test, kept, ridge) for fit, test in (halves, halves[::-1])]))


def _on_other(fit: Material, test: Material, kept: IntArray, ridge: Ridge) -> float:
    """2 tr(A^T N) - tr(A^T S A) on other samples: what a readout made here explains there."""
    matrix, _ = regularized(fit.covariance, fit.n_samples, ridge)
    block = np.ix_(kept, kept)
    readout = solve_positive(np.asfortranarray(matrix[block]), fit.target[kept])
    return float(2 * np.sum(readout * test.target[kept]) - np.sum(readout * product(test.covariance[block], readout)))
