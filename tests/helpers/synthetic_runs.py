"""Runs made by formula instead of training: features that slide from random ones to collapsed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import phiscope
from phiscope.runs import Run, RunWriter, open_run


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a synthetic run looks like.

    Attributes:
        epochs: epochs that are recorded.
        classes: number of classes; None for a regression on one target.
        p: number of features.
        n: samples of each split.
        collapse: 0 stays random, 1 ends collapsed.
        outputs: False leaves the outputs out.
        splits: names of the splits.
        status: how the run ends; None leaves it open.
        header: further header entries.
        scalars: further scalars at every record.
        side: images are side x side; 0 gives plain vectors.
        gallery: False stores neither samples nor eigenfunction values.
        keep_eigenvectors: so many are stored with each measurement; None stores all.
        intervals: False leaves the shards out that intervals and bands need.
    """

    epochs: Sequence[int] = (0, 1, 2, 3, 5, 10)
    classes: int | None = 4
    p: int = 24
    n: int = 120
    collapse: float = 1.0
    outputs: bool = True
    splits: Sequence[str] = ("train", "test")
    status: str | None = "completed"
    header: Mapping[str, Any] = field(default_factory=dict)
    scalars: Mapping[str, float] = field(default_factory=dict)
    side: int = 5
    gallery: bool = True
    keep_eigenvectors: int | None = None
    intervals: bool | None = None


def write_run(path: Path, recipe: Recipe) -> Run:
    """Write the run of a recipe and open it."""
    rng = np.random.default_rng(7)
    classes = recipe.classes
    header = {
        "name": path.name,
        "title": f"synthetic {path.name}",
        "task": "classification" if classes else "regression",
        "class_names": [f"kind {c}" for c in range(classes)] if classes else None,
        "splits": list(recipe.splits),
        "image": recipe.side > 0,
        **recipe.header,
    }
    writer = RunWriter.create(path, header, keep_eigenvectors=recipe.keep_eigenvectors)
    data = {}
    for split in recipe.splits:
        y = rng.integers(classes, size=recipe.n) if classes else rng.normal(size=recipe.n)
        noise = rng.normal(size=(recipe.n, recipe.p))
        shape = (40, recipe.side, recipe.side) if recipe.side else (40, 9)
        images = rng.random(shape)
        if recipe.gallery:
            writer.save_gallery(split, images, np.asarray(y[:40]))
        data[split] = (y, noise)
    centers = np.linalg.qr(rng.normal(size=(max(recipe.p, classes or 1), recipe.p)))[0][: classes or 1] * 4
    head = rng.normal(size=(classes or 1, recipe.p)) / 4
    # Logits that sum to zero have one output less than classes, as a trained classifier's nearly do.
    target_head = centers - centers.mean(axis=0) if classes and classes > 1 else centers
    for epoch in recipe.epochs:
        share = recipe.collapse * (1 - np.exp(-epoch / 2.0))
        measurements, extras = {}, {}
        for split, (y, noise) in data.items():
            signal = centers[y] if classes else np.outer(y, centers[0])
            features = (1 - share) * noise + share * signal + 0.02 * noise
            weights = (1 - share) * head + share * target_head / 4
            measured = phiscope.diagonalize(
                features,
                features @ weights.T if recipe.outputs else None,
                targets=y,
                num_classes=classes,
                intervals=recipe.intervals,
            )
            measurements[split] = measured
            extras[split] = {
                f"gallery_{mode}": measured.eigenfunctions(features[:40], centered=mode == "centered")[:, :8]
                for mode in ("raw", "centered")
            }
        scalars = {"train_loss": 2.0 - share, "test_accuracy": 0.2 + 0.7 * share, **recipe.scalars}
        writer.append(epoch, epoch * 10, scalars, measurements, extras if recipe.gallery else {})
    if recipe.status:
        writer.finish(recipe.status)  # type: ignore[arg-type]
    return open_run(path)
