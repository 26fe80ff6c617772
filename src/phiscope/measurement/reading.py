"""Reading a measurement: its scalars, their intervals, and the curves that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from phiscope.errors import InputError, MissingNumberError
from phiscope.findings.enough import APART, NORMED, why_order_unknown, why_too_few
from phiscope.findings.held_out import held_out_quality, held_out_without_each, quality_null
from phiscope.inputs.arrays import as_array, as_count
from phiscope.inputs.settings import check_flag, check_level, is_word
from phiscope.linalg.dense import row_lengths
from phiscope.linalg.products import product
from phiscope.measurement.bands import CURVES, LEVEL, UNDEFINED, band_of, why_no_interval
from phiscope.metrics import SCALARS, WORDS, definition_of, readout, why_no_scalar
from phiscope.metrics.dimension import most_of
from phiscope.metrics.random_head import random_head_distance
from phiscope.moments.jackknife import (
    NO_INTERVAL,
    Estimate,
    Resampling,
    Scale,
    jackknife,
    jackknife_of_sizes,
)
from phiscope.spectrum.spectrum import Spectrum
from phiscope.typing import FloatArray

DIVIDE_ALIKE = {
    **dict.fromkeys(NORMED, "target_alignment"),
    "dynamical_low_rank_random_head": "participation_ratio_centered",
}
"""Numbers without a corrected twin, and the one whose norms they divide by as well."""

MOST_CLASSES_IN_PAIRS = 512
"""Classes up to which the angles of class means are looked at pair by pair: 20 times as many numbers as pairs."""


class Reading:
    """What can be read off a measurement without its samples; `Measurement` holds the data."""

    numbers: Mapping[str, float]
    absent: Mapping[str, str]
    raw: Spectrum
    centered: Spectrum
    n_samples: int
    n_features: int
    effective_samples: float | None
    bands: Mapping[str, FloatArray]
    n_groups: int | None
    class_means: FloatArray | None
    class_weights: FloatArray | None
    n_classes: int | None
    estimates: Mapping[str, Estimate]
    resampling: Resampling[Any] | None
    target_squares: FloatArray | None

    def __getitem__(self, name: str) -> float:
        """A scalar by its name, or by its symbol or title, as in ``m["D_LR"]``.

        Raises:
            MissingNumberError: phiscope knows the number but not here; the message says why.
            UnknownNameError: there is no such number; the message offers the nearest names.
            AmbiguousNameError: it may mean several; the message lists them.
        """
        if isinstance(name, str) and name in self.numbers:
            return self.numbers[name]
        if isinstance(name, str) and name in self.absent:
            raise MissingNumberError(name, self.absent[name])
        known = definition_of(name).name
        if known != name:
            return self[known]
        if name not in SCALARS:
            raise MissingNumberError(name, why_no_scalar(name))
        raise MissingNumberError(name, "this measurement was made without it")

    def __contains__(self, name: object) -> bool:
        """Whether the scalar was measured, under any word that `__getitem__` understands."""
        return isinstance(name, str) and (name in self.numbers or self._named(name) in self.numbers)

    def _named(self, name: Any) -> str:
        """The name of a number that may be given by its symbol; what means none, or several, as it is."""
        if not isinstance(name, str):
            return definition_of(name).name
        if name in self.numbers or name in self.absent:
            return name
        meanings = WORDS.meanings(name)
        return meanings[0] if len(meanings) == 1 else name

    def to_dict(self) -> dict[str, float]:
        """Every scalar that was measured, by name."""
        return dict(self.numbers)

    def estimate(self, name: str) -> Estimate:
        """The bias-corrected value of a scalar with its standard error.

        D_LR, used variance, participation ratio and target alignment are corrected part by part, all other
        numbers as a whole, which leaves a bias of order (p / n)^2. A name ending in ``_corrected`` means the plain one.

        Raises:
            MissingNumberError: the number is absent, or the samples were not gathered in shards.

        Source: Busing et al. 1999 (delete-a-group jackknife); parts: phiscope's own.
        """
        plain = self._named(name).removesuffix("_corrected")
        if plain in self.estimates:
            return self.estimates[plain]
        value = self[plain]
        if plain in NO_INTERVAL:
            raise MissingNumberError(f"the interval of {plain}", NO_INTERVAL[plain])
        if self.resampling is None or not self.resampling.enough:
            raise MissingNumberError(f"the interval of {plain}", self._why_no_interval())
        self._check_norm(f"the interval of {plain}", DIVIDE_ALIKE.get(plain, plain))
        self._check_enough(plain, self.resampling)
        if plain == "readout_r2_held_out":
            without = held_out_without_each(self.resampling.shards)
        else:
            without = [part.numbers.get(plain, math.nan) for part in self.resampling.without_each]
        if not np.isfinite(without).all():
            raise MissingNumberError(f"the interval of {plain}", UNDEFINED)
        angles = self._angles(self.resampling) if plain == "nc2_equiangular" else None
        if angles is not None:
            return angles
        found = jackknife(value, np.asarray(without), self.resampling.shares, self._scale_of(plain))
        if plain == "dynamical_low_rank_random_head":
            # A mean over draws, always the same ones: leaving out samples does not show how far it is off.
            drawn = random_head_distance(self.centered.eigenvalues, int(self.numbers["output_rank"]))[1]
            return replace(found, error=math.hypot(found.error, drawn))
        return found

    def _check_norm(self, what: str, corrected: str) -> None:
        """Refuse the interval of what divides by a norm of which the correction for n leaves nothing."""
        reason = self.absent.get(f"{corrected}_corrected")
        if reason is not None and corrected in self.numbers:
            # What says nothing of the population corrected part by part says nothing as a whole either.
            raise MissingNumberError(what, reason)

    def _check_enough(self, name: str, resampling: Resampling[Any]) -> None:
        """Refuse the interval of a number that few samples say too little about, with how many would do."""
        moments = resampling.whole
        n = resampling.independent_samples
        order = why_order_unknown(name, self.centered if name.endswith("centered") else self.raw, moments, n)
        reason = order or why_too_few(name, self.numbers, self.centered, moments, n)
        if reason is not None:
            raise MissingNumberError(f"the interval of {name}", reason)

    def _angles(self, resampling: Resampling[Any]) -> Estimate | None:
        """The mean angle of class means, pair by pair; None for many classes, as kinks of single pairs average out."""
        if self.n_classes is None or self.n_classes > MOST_CLASSES_IN_PAIRS:
            return None
        whole, *parts = (_pair_angles(part.class_means) for part in (self, *resampling.without_each))
        if any(len(part) != len(whole) for part in parts):
            return None
        return jackknife_of_sizes(whole, np.stack(parts), resampling.shares, APART)

    def _bounds_of(self, name: str) -> tuple[float, float]:
        """Least and largest value, also where that depends on the number of classes, features or samples."""
        low, high = definition_of(name).bounds
        high = min(high, most_of(name, self.n_samples, self.n_features))
        if name == "discriminant_information" and self.class_weights is not None:
            high = float(np.count_nonzero(self.class_weights) - 1)
        return low, high

    def _scale_of(self, name: str) -> Scale | None:
        """What the interval of a number is even on, None for the number itself."""
        scale = definition_of(name).scale
        if scale == "x":
            return None
        low, high = self._bounds_of(name)
        above = scale.startswith("log(x")
        return Scale(edge=low if above else high, above=above)

    def _why_no_interval(self) -> str:
        # `Reading` is the reading half of a measurement.
        whole: Any = self
        return why_no_interval(whole)

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Confidence interval for the population value of a scalar, clipped to the number's range.

        Args:
            name: a scalar.
            level: nominal coverage, 0 < level < 1.

        Returns:
            Low and high end.

        Raises:
            MissingNumberError: as for `estimate`.

        Example:
            >>> import itertools, numpy as np
            >>> from phiscope import diagonalize
            >>> signs = np.array(list(itertools.product([-1.0, 1.0], repeat=10)))
            >>> low, high = diagonalize(signs).interval("participation_ratio")
            >>> low < 10.1 and 9.9 < high
            True
        """
        return self.estimate(name).interval(level, *self._bounds_of(self._named(name)))

    def curve_interval(
        self, curve: str, *, centered: bool = True, level: float = 0.95
    ) -> tuple[FloatArray, FloatArray]:
        """Pointwise confidence band of a curve over k, for the population's curve.

        Where neighboring eigenvalues are within two sampling errors of each other, the order of their eigenfunctions
        in the population is not known: there a cumulative curve's band runs from its low end before the cluster to its
        high end after it, that of eigenvalues holds all of the cluster's, and a single share can be anything in 0..1.

        A saved measurement has kept the centered bands of the three curves that pictures show, at level 0.95 and up to
        k = 512, where corrected numbers were measured; of a run, the last record of a completed one has.

        Args:
            curve: ``"cumulative_quality"``, ``"cumulative_utilization"``, ``"quality"``, ``"utilization"`` or
                ``"eigenvalues"``.
            centered: of the covariance instead of the second moment.
            level: nominal coverage at each k, 0 < level < 1.

        Returns:
            Low and high end, each of shape (K',): up to the least K that every shard's absence leaves.

        Raises:
            MissingNumberError: the curve was not measured, or the samples were not gathered in shards.
            InputError: there is no such curve, or the level is not between 0 and 1.

        Source: Busing et al. 1999 (delete-a-group jackknife).
        """
        if not is_word(curve, CURVES):
            raise InputError(f"there is no curve named {curve!r}; known are {', '.join(CURVES)}")
        check_level(level)
        check_flag(centered, name="centered")
        if self.resampling is None and centered and level == LEVEL and curve in self.bands:
            low, high = self.bands[curve]
            return low, high
        value = getattr(getattr(self, "centered" if centered else "raw"), curve)
        if value is None or self.resampling is None or not self.resampling.enough:
            missing = "its targets or outputs are missing or do not vary, or the features do not"
            reason = missing if value is None else self._why_no_interval()
            raise MissingNumberError(f"the interval of {curve}", reason)
        self._check_norm(f"the interval of {curve}", f"participation_ratio{'_centered' * centered}")
        # `Reading` is the reading half of a measurement.
        whole: Any = self
        return band_of(whole, self.resampling, curve, centered=centered, level=level)

    @property
    def independent_samples(self) -> float:
        """Number of equally weighted samples that say as much: (sum w)^2 / sum w^2, or n where there are no weights."""
        return self.n_samples if self.effective_samples is None else self.effective_samples

    def quality_excess(self) -> FloatArray:
        """Centered Pi*(k) above what uninformative targets give, (Pi* - k/(n-1)) / (1 - k/(n-1)); shape (K,).

        n is the effective number of samples, (sum w)^2 / sum w^2, where they are weighted; the level is then
        approximate, and too high when a few samples carry most of the weight.

        Raises:
            MissingNumberError: there were no targets.

        Source: phiscope.
        """
        value = self.centered.cumulative_quality
        if value is None:
            raise MissingNumberError("cumulative_quality", "no targets were given, or they are constant")
        null = quality_null(len(value), self.independent_samples)
        return np.where(null < 1, (value - null) / np.where(null < 1, 1 - null, 1.0), 0.0)

    def held_out_quality(self, k: int | None = None) -> FloatArray:
        """Centered cumulative quality with eigenfunctions from one half of the samples and targets from the other.

        Args:
            k: how many leading eigenfunctions, at most as many as there are; None takes all that are held.

        Returns:
            Shape (k,), at most 1; averages 0 for uninformative targets.

        Raises:
            MissingNumberError: there were no targets, or the samples were not gathered in shards.

        Source: phiscope; see `phiscope.findings.held_out`.
        """
        if self.centered.cumulative_quality is None or self.resampling is None:
            raise MissingNumberError("held-out quality", "it needs targets and the shards of samples")
        held, most = len(self.centered.eigenvalues), len(self.centered.known_eigenvalues)
        return held_out_quality(
            self.resampling.shards, held if k is None else min(as_count(k, name="k", least=1), most)
        )

    def readout_curve(self, times: Any, *, centered: bool = True) -> FloatArray:
        """Mean squared error over time of a new head trained by gradient flow on these features: the lazy baseline.

        Args:
            times: learning rate times steps, for the loss half the squared error, shape (T,), >= 0, in inverse
                squared feature units.
            centered: with a bias that is kept at its best at every step; a bias fitted first and then frozen gives
                another curve. False trains from zero without a bias; a bias that starts at zero and is trained like a
                weight is False on features with a column of ones.

        Returns:
            Shape (T,), non-increasing, in squared target units.

        Raises:
            MissingNumberError: there were no targets, or only leading eigenfunctions are here.
            InputError: a time is negative or not finite.

        Source: arXiv:2410.04264 v1 (gradient flow of the head).
        """
        spectrum = self.centered if centered else self.raw
        if spectrum.is_cut and self.target_squares is not None:
            raise MissingNumberError("readout_curve", self._why_cut(spectrum))
        if spectrum.target_power is None or self.target_squares is None:
            raise MissingNumberError("readout_curve", self.absent.get("readout_r2", "no targets were given"))
        at = as_array(times, name="times").astype(np.float64).reshape(-1)
        if not np.isfinite(at).all() or (at < 0).any():
            raise InputError("times have to be finite and at least 0: learning rate times steps")
        square = float(self.target_squares[int(centered)])
        return np.maximum(readout.readout_loss(spectrum.eigenvalues, spectrum.target_power, square, at), 0.0)

    def _why_cut(self, spectrum: Spectrum) -> str:
        return (
            f"it needs the whole spectrum, and this measurement holds the {len(spectrum.eigenvalues)} leading "
            "eigenfunctions (k=...); measure without k="
        )

    def discriminant_information(self, ridge: float = 0.0, *, shrinkage: float = 0.0) -> float:
        """tr((S' + r I)^-1 S_B) with S' = (1 - a) S + a tr(S)/p I; ridge and shrinkage 0 give the H-score.

        Args:
            ridge: r >= 0, in squared feature units.
            shrinkage: a, 0..1.

        Returns:
            0..C - 1 without shrinkage. S_B is not shrunk, so that with it up to 1 / (1 - a) of that: 1 / (1 - a) times
            what the ridge a / (1 - a) tr(S)/p gives, which is what ``ridge="oas"`` of `phiscope.surgery` means.

        Raises:
            MissingNumberError: the targets were not classes, or a ridge or shrinkage came and only leading
                eigenfunctions are here.
            InputError: ridge or shrinkage outside their range.

        Source: Hou and Kung 2020; ridge 0: Bao et al. 2019 (H-score).
        """
        if not (math.isfinite(ridge) and ridge >= 0 and 0 <= shrinkage <= 1):
            raise InputError(f"ridge is {ridge} and shrinkage {shrinkage}, expected ridge >= 0 and 0 <= shrinkage <= 1")
        plain = self["discriminant_information"]
        if self.centered.is_cut:
            if ridge or shrinkage:
                name = "discriminant information with a ridge or shrinkage"
                raise MissingNumberError(name, self._why_cut(self.centered))
            return plain
        values, quality = self.centered.eigenvalues, np.asarray(self.centered.quality)
        shrunk = (1 - shrinkage) * values + shrinkage * values.sum() / self.n_features
        return readout.discriminant_information(shrunk, quality * values, ridge)


def _pair_angles(class_means: FloatArray | None) -> FloatArray:
    """cos(v_c, v_c') + 1/(C - 1) of all pairs of classes that occur, one after the other."""
    all_means = np.asarray(class_means)
    means = all_means[~np.isnan(all_means[:, 0])]
    vectors = means - means.mean(axis=0)
    vectors /= row_lengths(vectors)[:, None]
    pairs = product(vectors, vectors.T)[np.triu_indices(len(means), 1)]
    return np.asarray(pairs + 1 / (len(means) - 1))
