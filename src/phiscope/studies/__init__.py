"""Built-in trainings: `datasets/`, networks, recipes.

::

    datasets/         data to study: bundled, drawn, or read from files
    networks.py       feature map and linear head: the networks of the studies
    architectures.py  the paper's networks by name
    recipes.py        the studies as configuration; nothing there trains
    cutting.py        trained networks cut by every rule: units of the head's input, channels of a residual network
    distorted.py      convolutional networks trained with parts of their maps distorted
    afterwards.py     what some studies do with their trained network
    training.py       one training loop for every study, observed
    posterior.py      exact averages over the posterior of small networks
    width.py          the study that trains nothing: a sweep over widths beside the theory
"""

from __future__ import annotations

import os
from pathlib import Path

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.recipes import STUDIES, Study, WidthSweep
from phiscope.studies.training import EpochDone, Progress, checked_epochs, progress_bar, run_training
from phiscope.studies.width import run_sweep

__all__ = ["STUDIES", "EpochDone", "Progress", "Study", "WidthSweep", "run_study"]


def run_study(
    name: str,
    *,
    out: str | os.PathLike[str] = "runs",
    epochs: int | None = None,
    seed: int = 0,
    progress: bool | Progress = True,
) -> Path:
    """Train a built-in study on the CPU, observe it at every recorded epoch, and write its run.

    A `WidthSweep` trains nothing: its records stand at widths, and `epochs` is how many of them there are at most.

    Two calls with the same seed give the same numbers; torch works with one thread meanwhile. Ctrl-C ends the training
    and returns as usual; the run then has the status "interrupted".

    Args:
        name: one of ``STUDIES``.
        out: where to make the run's folder; it is named after study and seed and never one that exists.
        epochs: epochs to train at most; None takes the study's own number.
        seed: decides the split, the initial weights and the order of the samples; 0 or more.
        progress: True shows a progress bar on stderr, False nothing; a callable is called after each epoch.

    Returns:
        The run's folder.

    Raises:
        UnknownNameError: there is no such study; the message offers the nearest names.
        InputError: epochs below 1, a negative seed, or ``out`` is a file.
        MissingDependencyError: the study's data need a package that is not installed.
        KeyboardInterrupt: stopped before the initial state was recorded.
    """
    if name not in STUDIES:
        raise UnknownNameError("study", name, STUDIES)
    study = STUDIES[name]
    if not 0 <= seed < 2**32:
        raise InputError(f"a seed is a whole number from 0 to 2^32 - 1, got {seed}")
    epochs = checked_epochs(study, epochs)
    folder = _new_folder(Path(out), f"{name}-seed{seed}")
    if callable(progress):
        show, close = progress, None
    else:
        show, close = progress_bar(progress, epochs, name, "width" if isinstance(study, WidthSweep) else "epoch")
    try:
        if isinstance(study, WidthSweep):
            run_sweep(study, folder=folder, epochs=epochs, seed=seed, progress=show)
        else:
            run_training(study, folder=folder, epochs=epochs, seed=seed, progress=show)
    finally:
        if close is not None:
            close()
        if not any(folder.iterdir()):
            folder.rmdir()  # nothing was written: a failed start must not take the name
    return folder


def _new_folder(out: Path, name: str) -> Path:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; out must be a folder to make runs in")
    out.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            # Making the folder claims the name, also against a second study started at the same moment.
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder
