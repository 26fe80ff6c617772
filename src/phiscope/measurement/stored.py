"""A measurement as arrays and facts, and back: what a file says is checked before anybody computes with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from os import PathLike
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import RunFormatError, with_article
from phiscope.metrics.regime import Regime, RegimeEvidence, with_word
from phiscope.moments.jackknife import Estimate
from phiscope.spectrum.spectrum import Spectrum

Arrays = Mapping[str, NDArray[Any]]
Part = TypeVar("Part", Estimate, RegimeEvidence)


_LONGEST = {"eigenvalues": 1, "eigenvectors": 2}
"""What every spectrum has, with its number of axes; all other curves have the length of the eigenvalues."""


_ROUNDING = 1e-6
"""Entries of unit vectors and shares may be above 1 by this much."""


_LARGEST_MEAN = 1e150
"""Features of this size have no finite square, and cannot have been measured."""


def spectrum_from(path: str | PathLike[str], arrays: Arrays, name: str, n_features: int) -> Spectrum:
    """One spectrum of a file.

    Args:
        path: the file, for errors.
        arrays: all arrays of the file.
        name: ``"raw"`` or ``"centered"``.
        n_features: p.

    Raises:
        RunFormatError: an array is missing, or of another shape or dtype than its name says.
    """
    found = {row.name: arrays.get(f"{name}.{row.name}") for row in fields(Spectrum)}
    for key, axes in _LONGEST.items():
        array = found[key]
        if array is None or array.ndim != axes:
            raise RunFormatError(f"{path} has no usable {name}.{key}, expected {axes} axes; it is damaged")
    k = len(found["eigenvalues"])  # type: ignore[arg-type]
    stored = found["eigenvectors"].shape[1]  # type: ignore[union-attr]
    shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(found, (k,))
    shapes["eigenvectors"] = (n_features, min(stored, k))
    shapes["following"] = (None,)
    for key, array in found.items():
        check_array(path, f"{name}.{key}", array, shapes[key])
    for key in ("eigenvalues", "following"):
        rho = found[key]
        if rho is not None and not (np.isfinite(rho) & (rho > 0)).all():
            raise RunFormatError(f"{path} has {name}.{key} that are not positive; it is damaged")
    vectors = found["eigenvectors"]
    if not (np.abs(vectors) <= 1 + _ROUNDING).all():  # type: ignore[arg-type]
        raise RunFormatError(f"{path} has {name}.eigenvectors that are no unit vectors; it is damaged")
    return Spectrum(**found)  # type: ignore[arg-type]


def check_moments(path: str | PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Refuse means and shares that no samples can have.

    Args:
        path: the file, for errors.
        arrays: ``feature_mean``, ``class_means`` and ``class_weights``, the last two None without classes.

    Raises:
        RunFormatError: a mean is not finite or its square is not, or a share is outside 0..1.
    """
    mean, means, weights = (arrays[name] for name in ("feature_mean", "class_means", "class_weights"))
    good = bool((np.abs(mean) < _LARGEST_MEAN).all())
    if weights is not None:
        good &= bool(((weights >= 0) & (weights <= 1 + _ROUNDING)).all())
    if means is not None:
        # A class that never occurs has no mean.
        there = means if weights is None else means[weights > 0]
        good &= bool((np.abs(there) < _LARGEST_MEAN).all()) and not np.isinf(means).any()
    if not good:
        raise RunFormatError(f"{path} has means or class weights that no samples can have; it is damaged")


def check_array(
    path: str | PathLike[str],
    name: str,
    array: NDArray[Any] | None,
    shape: tuple[int | None, ...],
    *,
    needed: bool = False,
) -> None:
    """Refuse an array of another shape or dtype than it should have.

    Args:
        path: the file, for errors.
        name: of the array.
        array: None when the file has none.
        shape: the expected lengths; None stands for any.
        needed: whether it has to be there.

    Raises:
        RunFormatError: it is missing, not float64, or of another shape.
    """
    if array is None:
        if needed:
            raise RunFormatError(f"{path} lacks the array {name}; it is damaged")
        return
    fits = len(shape) == array.ndim and all(
        wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.float64 or not fits:
        expected = tuple("any" if length is None else length for length in shape)
        raise RunFormatError(
            f"{path} has {name} of shape {array.shape} and dtype {array.dtype}, expected {expected} and float64; it is "
            "damaged"
        )


_FROM_ZERO = "head_from_zero"
"""Says in a file that the initial head was zero: the change beside it is infinite, which no file has a number for."""


def evidence_facts(evidence: RegimeEvidence | None) -> dict[str, Any] | None:
    """The evidence as a file keeps it; `evidence_from` reads it, and an older phiscope finds the change not known."""
    if evidence is None:
        return None
    from_zero = evidence.head_change == math.inf
    return {**asdict(evidence), **({"head_change": None, _FROM_ZERO: True} if from_zero else {})}


def evidence_from(path: str | PathLike[str], facts: Any) -> RegimeEvidence | None:
    """The evidence of a file; from phiscope 0.1, whose rule was another one, the word with what it rested on.

    Args:
        path: the file, for errors.
        facts: its fields by name, or None.

    Raises:
        RunFormatError: see `part_from`; or an interval is no pair of numbers.
    """
    if facts is None:
        return None
    if not isinstance(facts, dict):
        raise RunFormatError(f"{path} has a RegimeEvidence that is no mapping; it is damaged")
    if "effective_dimension_centered" in facts:
        old = {**facts, "effective_dimension": facts["effective_dimension_centered"]}
        # Its rule always gave a word.
        found = part_from(path, RegimeEvidence, old, {**_EVIDENCE_WORDS, "regime": get_args(Regime)})
        dimension = "not known" if found.effective_dimension is None else f"{found.effective_dimension:.3g}"
        words = (
            f"by the rule of phiscope 0.1, from k90 = {found.k90} and centered D_eff = {dimension} for output rank r = "
            f"{found.output_rank}; measure again for the present rule"
        )
        return replace(found, rule=words)
    if "evenness" in facts:
        # What is PR / r was first called by the name of its root.
        facts = {**facts, "relative_dimension": facts["evenness"]}
        del facts["evenness"]
    texts = {name: facts.get(name, "") for name in ("reason", "rule")}
    intervals = facts.get("intervals", {})
    if not all(isinstance(text, str) for text in texts.values()) or not _are_intervals(intervals):
        raise RunFormatError(f"{path} has a RegimeEvidence whose words or intervals cannot be; it is damaged")
    numbers = {name: value for name, value in facts.items() if name not in (*texts, "intervals")}
    ends = {name: (float(low), float(high)) for name, (low, high) in intervals.items()}
    known = replace(part_from(path, RegimeEvidence, numbers, _EVIDENCE_WORDS), intervals=ends, **texts)
    return replace(known, head_change=math.inf) if facts.get(_FROM_ZERO) is True else known


def checked_evidence(
    evidence: RegimeEvidence | None, centered: Spectrum, provenance: Mapping[str, str]
) -> RegimeEvidence | None:
    """The evidence as the spectrum beside it allows.

    Until 0.2.0 rounding took the place of what nobody had computed, so that a cut at r always read "minimal". Such
    files are known by bounds without what follows, and by the solver, which spectra that were cut afterwards lack.
    Their cliff is left out, and the word is found anew; one that an earlier rule found is not judged by the present
    one, whose numbers it does not have. Files from before `nothing_follows` was kept are told by the spectrum.

    Args:
        evidence: of the file.
        centered: the centered spectrum of the file.
        provenance: of the file.
    """
    if evidence is None or not evidence.output_rank or evidence.rule:
        return evidence
    unknown = centered.eigenvalue_bounds is not None and centered.following is None
    if not (unknown and "solver" in provenance):
        # A cliff behind the last eigenvalue that is known is none but where nothing follows.
        ended = not unknown and evidence.cliff is not None
        nothing = ended and evidence.output_rank >= len(centered.known_eigenvalues)
        return replace(evidence, nothing_follows=True) if nothing and not evidence.nothing_follows else evidence
    count = len(centered.eigenvalues)
    cliff = evidence.cliff if evidence.output_rank < count else None
    return with_word(replace(evidence, n_leading=count, cliff=cliff))


_EVIDENCE_WORDS: Mapping[str, tuple[str | bool | None, ...]] = {
    "regime": (*get_args(Regime), None),
    "initial_regime": (*get_args(Regime), None),
    "nothing_follows": (False, True),
}


_COUNTS = ("output_rank", "n_directions", "k90", "n_leading", "freedom")
"""Numbers of small dataclasses that are whole and not negative."""


def _are_intervals(value: Any) -> bool:
    pairs = value.values() if isinstance(value, dict) else [None]
    return all(isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs)


def part_from(
    path: str | PathLike[str], kind: type[Part], facts: Any, words: Mapping[str, tuple[str | bool | None, ...]]
) -> Part:
    """A small dataclass of numbers from its facts; fields that a later phiscope added are ignored.

    Args:
        path: the file, for errors.
        kind: the dataclass.
        facts: its fields by name.
        words: for a field that is text or a truth value, what it may be.

    Raises:
        RunFormatError: no mapping, a field is missing, or one is no finite number and no known word.
    """
    if not isinstance(facts, dict):
        raise RunFormatError(f"{path} has {with_article(kind.__name__)} that is no mapping; it is damaged")
    known: dict[str, Any] = {}
    for row in fields(kind):
        if row.name not in facts:
            if row.default is MISSING and row.default_factory is MISSING:
                raise RunFormatError(f"{path} has {with_article(kind.__name__)} without {row.name}; it is damaged")
            continue
        value = facts[row.name]
        # Without fields of its own to say so, a number may be absent where that is the default of the dataclass.
        if row.name in words:
            # 1 is no truth value, although it equals one.
            allowed = any(type(value) is type(word) and value == word for word in words[row.name])
        else:
            number = _is_count(value, 0) if row.name in _COUNTS else _is_number(value)
            allowed = number or (value is None and row.default is None)
        if not allowed:
            raise RunFormatError(
                f"{path} has {with_article(kind.__name__)} whose {row.name} is {value!r:.60}; it is damaged"
            )
        known[row.name] = value
    return kind(**known)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def check_facts(path: str | PathLike[str], facts: Mapping[str, Any]) -> None:
    """Refuse facts of other types than `Measurement.save` writes.

    Args:
        path: the file, for errors.
        facts: from the header of the file; every needed one is there.

    Raises:
        RunFormatError: one is of another type; the message names it.
    """
    counts = {"n_samples": 1, "n_features": 1, "n_outputs": None, "n_classes": None}
    good: dict[str, bool] = {name: _is_count(facts[name], least) for name, least in counts.items()}
    good["rank_tolerance"] = _is_number(facts["rank_tolerance"])
    good["effective_samples"] = facts.get("effective_samples") is None or _is_number(facts["effective_samples"])
    good["warnings"] = isinstance(facts["warnings"], list) and all(isinstance(text, str) for text in facts["warnings"])
    for name, fits in (("numbers", _is_number), ("absent", _is_text), ("provenance", _is_text)):
        good[name] = isinstance(facts[name], dict) and all(map(fits, facts[name].values()))
    good["estimates"] = isinstance(facts["estimates"], dict)
    wrong = [name for name, fine in good.items() if not fine]
    if wrong:
        raise RunFormatError(f"{path} has {wrong[0]} = {facts.get(wrong[0])!r:.60}, which cannot be; it is damaged")


def _is_count(value: Any, least: int | None) -> bool:
    if value is None:
        return least is None
    return isinstance(value, int) and not isinstance(value, bool) and (least or 0) <= value < 2**53


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
