"""Runs to look at: features that slide from random ones to collapsed ones, with a gallery of images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import phiscope
from phiscope.runs import RunWriter

STAGES = 6
"""So many different measurements; the records between repeat them, because each takes seconds."""

SPLITS = ("train", "test")
SIDE = 28
"""Images are so many pixels wide and high."""

FUNCTIONS = 24
"""Eigenfunctions stored on the gallery's samples: what an observer stores at most."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a run is.

    Attributes:
        records: how many are measured.
        features: p.
        classes: how many there are.
        samples: of the gallery, with their images; 0 for none.
    """

    records: int
    features: int
    classes: int
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a record stores.

    Attributes:
        measurements: by split.
        extras: by split, the eigenfunctions on the gallery's samples.
        scalars: what a training loop says.
    """

    measurements: Mapping[str, Any]
    extras: Mapping[str, Any]
    scalars: Mapping[str, float]


def stages(size: Size) -> list[Stage]:
    """Measurements from random features to collapsed ones."""
    rng = np.random.default_rng(0)
    count = max(200, size.features + size.features // 2, size.samples)
    labels = np.arange(count) % size.classes
    centers = rng.normal(size=(size.classes, size.features))
    head = centers - centers.mean(axis=0)
    noise = {split: rng.normal(size=(count, size.features)) for split in SPLITS}
    made = []
    for share in np.linspace(0.0, 0.8, STAGES):
        measurements, extras = {}, {}
        for split in SPLITS:
            features = (1 - share) * noise[split] + share * centers[labels]
            measured = phiscope.diagonalize(features, head=(head, None), targets=labels)
            measurements[split] = measured
            shown = features[: size.samples]
            extras[split] = {
                f"gallery_{mode}": measured.eigenfunctions(shown, centered=mode == "centered")[:, :FUNCTIONS]
                for mode in ("raw", "centered")
                if size.samples
            }
        scalars = {"test_accuracy": 0.1 + share, "train_loss": 1.0 - share}
        made.append(Stage(measurements=measurements, extras=extras, scalars=scalars))
    return made


def written(folder: Path, size: Size, kinds: list[Stage]) -> RunWriter:
    """A run of these stages in order; it has not ended."""
    names = [f"kind {label}" for label in range(size.classes)]
    writer = RunWriter.create(folder, {"name": folder.name, "splits": list(SPLITS), "class_names": names})
    rng = np.random.default_rng(1)
    if size.samples:
        labels = np.arange(size.samples) % size.classes
        smooth = rng.random((size.classes, SIDE, SIDE))
        for split in SPLITS:
            images = np.round(255 * (0.8 * smooth[labels] + 0.2 * rng.random((size.samples, SIDE, SIDE))))
            writer.save_gallery(split, images.astype(np.float32), labels)
    for number in range(size.records):
        append(writer, number, kinds[number * len(kinds) // size.records])
    return writer


def append(writer: RunWriter, number: int, kind: Stage) -> None:
    """One more record."""
    writer.append(number, number * 10, kind.scalars, kind.measurements, kind.extras)


def copied(source: Path, root: Path, count: int) -> None:
    """The same run many times; of its measurements only the lines, which are what a list reads."""
    for number in range(count):
        folder = root / f"run-{number:04d}"
        folder.mkdir(parents=True)
        for name in ("scalars.jsonl", "end.json"):
            shutil.copyfile(source / name, folder / name)
        header = json.loads((source / "header.json").read_text())
        (folder / "header.json").write_text(json.dumps({**header, "name": folder.name}))
