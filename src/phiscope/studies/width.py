"""A sweep over widths: kernels of networks under the posterior beside the theory's, one record a width."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phiscope.errors import MissingDependencyError
from phiscope.measurement.gram import diagonalize_kernel
from phiscope.measurement.record import Measurement
from phiscope.runs.units import AXIS
from phiscope.runs.writing import RunWriter
from phiscope.studies.posterior import PosteriorKernels, posterior_kernels
from phiscope.studies.recipes import WidthSweep
from phiscope.studies.training import EpochDone, Progress
from phiscope.theory import Movement, map_kernels
from phiscope.theory.infinite_width import infinite_kernels
from phiscope.theory.report import movement_of
from phiscope.theory.setting import Setting, setting_of
from phiscope.typing import FloatArray

NOISY_XOR = "noisy XOR: 8 inputs of 20 numbers, two signs and 18 standard normal numbers; the target is their product"
"""What `noisy_xor` draws, in words."""

LITTLE_KNOWN = 30
"""The first seed of `noisy_xor` whose untrained kernel has a CKA with the target below 0.15; chance alone gives 1/7."""


def noisy_xor(seed: int = LITTLE_KNOWN, repeats: int = 2, dimension: int = 20) -> tuple[FloatArray, FloatArray]:
    """Sign pairs with noise behind them; the target is the product of the signs, which no linear function knows.

    Args:
        seed: of the noise.
        repeats: how often each of the four pairs comes.
        dimension: D, of which D - 2 numbers are noise.

    Returns:
        Inputs (4 repeats, D) and targets (4 repeats,), -1 or 1.

    Example:
        >>> x, y = noisy_xor()
        >>> x.shape, bool((x[:, 0] * x[:, 1] == y).all())
        ((8, 20), True)
    """
    signs = np.array([[a, b] for a in (-1.0, 1.0) for b in (-1.0, 1.0)] * repeats)
    noise = np.random.default_rng(seed).normal(size=(len(signs), dimension - 2))
    return np.concatenate([signs, noise], axis=1), signs[:, 0] * signs[:, 1]


def two_digits(count: int = 64) -> tuple[FloatArray, FloatArray]:
    """The first digits 0 and 3 of scikit-learn's set, less their mean picture and scaled to mean square 1.

    Args:
        count: P, how many of both together.

    Returns:
        Inputs (P, 64) and targets (P,), -1 for 0 and 1 for 3.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", purpose="two_digits", extra="studies") from error
    pictures, digits = load_digits(return_X_y=True)
    chosen = np.flatnonzero(np.isin(digits, (0, 3)))[:count]
    centered = pictures[chosen] - pictures[chosen].mean(axis=0)
    return centered / np.sqrt(np.square(centered).mean()), np.where(digits[chosen] == 0, -1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class _Point:
    """What is known at one width.

    Attributes:
        scalars: numbers of the record.
        measurements: of the sampled and of the theory's kernel.
    """

    scalars: dict[str, float]
    measurements: dict[str, Measurement]


def run_sweep(study: WidthSweep, *, folder: Path, epochs: int, seed: int, progress: Progress) -> None:
    """Go through the widths of a sweep and write its run, whose records stand at widths.

    Ctrl-C ends it; the run keeps every record and has the status "interrupted".

    Args:
        study: what to sweep.
        folder: the run's folder.
        epochs: widths at most.
        seed: decides the networks that are drawn.
        progress: told after each width.

    Raises:
        KeyboardInterrupt: stopped before the first width was recorded.
    """
    inputs, targets = noisy_xor()
    setting = setting_of(inputs, study.depth, "erf", study.weight_variance, study.bias_variance)
    writer = RunWriter.create(folder, _header(study, epochs, seed))
    done = 0
    try:
        for width in study.widths[:epochs]:
            point = _point(study, setting, (inputs, targets), width, seed)
            writer.append(float(width), None, point.scalars, point.measurements, with_bands=True)
            done += 1
            progress(_told(study, done, epochs, point))
        writer.finish("completed", {"widths": done})
    except KeyboardInterrupt:
        writer.finish("interrupted", {"widths": done})
        if not done:
            raise
    finally:
        writer.close()


def _told(study: WidthSweep, done: int, epochs: int, point: _Point) -> EpochDone:
    return EpochDone(
        study=study.name,
        epoch=done,
        epochs=min(epochs, len(study.widths)),
        scalars=point.scalars,
        measurement=point.measurements["sampled"],
    )


def _point(study: WidthSweep, setting: Setting, data: tuple[FloatArray, FloatArray], width: int, seed: int) -> _Point:
    inputs, targets = data
    sampled = posterior_kernels(setting, targets[:, None], width=width, noise=study.noise, draws=study.draws, seed=seed)
    full, first = (
        map_kernels(
            inputs,
            targets,
            width,
            study.depth,
            "erf",
            study.weight_variance,
            study.bias_variance,
            study.noise,
            order,
        )
        for order in ("full", "first")
    )
    wide = infinite_kernels(setting).kernels[-1]
    scalars = {
        **_scalars("sampled", movement_of(sampled.kernels[-1], wide, targets[:, None])),
        **_errors(sampled, wide, targets),
        "sampled_networks": sampled.effective,
        **_scalars("theory", movement_of(full.kernels[-1], wide, targets[:, None])),
        **_scalars("first", movement_of(first.kernels[-1], wide, targets[:, None])),
        "theory_residual": full.residual,
        "theory_sample_share": full.sample_share,
    }
    measurements = {
        "sampled": diagonalize_kernel(sampled.kernels[-1], targets=targets),
        "theory": diagonalize_kernel(full.kernels[-1], targets=targets),
    }
    return _Point(scalars=scalars, measurements=measurements)


def _scalars(whose: str, movement: Movement) -> dict[str, float]:
    return {
        f"{whose}_rescale": movement.rescale,
        f"{whose}_rotate": movement.rotate,
        f"{whose}_alignment_gain": movement.alignment_gain,
    }


def _errors(sampled: PosteriorKernels, wide: FloatArray, targets: FloatArray) -> dict[str, float]:
    """Standard errors by leaving out one part of the draw after the other."""
    without = [_scalars("sampled", movement_of(one, wide, targets[:, None])) for one in sampled.left_out]
    count = len(without)
    return {
        f"{name}_error": float(np.sqrt((count - 1) * np.var([one[name] for one in without]))) for name in without[0]
    }


def _header(study: WidthSweep, epochs: int, seed: int) -> dict[str, Any]:
    return {
        "name": study.name,
        "title": study.title,
        "description": study.description,
        "task": "regression",
        "splits": ["sampled", "theory"],
        "image": False,
        "class_names": None,
        "model": f"erf networks with {study.depth} hidden layer{'s' if study.depth > 1 else ''}",
        "data": NOISY_XOR,
        AXIS: "width",
        "settings": {**study.settings(), "epochs": epochs, "seed": seed},
    }
