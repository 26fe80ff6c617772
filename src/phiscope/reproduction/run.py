"""All of it: run what is missing of one family or of all, and judge the claims."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phiscope.errors import InputError
from phiscope.reproduction.engine import Progress, Store, run_missing
from phiscope.reproduction.families import FAMILIES, family_named
from phiscope.reproduction.family import SEEDS, Family, Scale
from phiscope.reproduction.samples import files_of
from phiscope.reproduction.summary import FamilySummary, summarize
from phiscope.studies.datasets.images import load_images


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What `reproduce` did and found.

    Attributes:
        summaries: one a family.
        progress: which trainings were run, failed, or were not reached.
    """

    summaries: tuple[FamilySummary, ...]
    progress: Progress


def reproduce(
    family: str | None = None,
    *,
    scale: Scale = "small",
    jobs: int = 1,
    out: str | os.PathLike[str] = "reproduction",
    data: str | os.PathLike[str] | None = None,
    seeds: int = len(SEEDS),
    device: str = "auto",
    progress: bool | None = None,
    renew: bool = False,
) -> Reproduction:
    """Run what is missing of one family or of all, and judge its claims.

    Every finished training is a file in ``out/outcomes``; a second call runs only what is missing, also after a kill.
    Ctrl-C ends the call as usual, with what has been finished.

    Args:
        family: name or letter; None takes all.
        scale: "small" for two CPU cores, "medium" for Fashion-MNIST in hours, "full" for the paper's own set-ups where
            there are data and a GPU.
        jobs: trainings side by side, each a process with one thread.
        out: folder for the outcomes.
        data: folder with the files of MNIST and CIFAR, for the full scale.
        seeds: of each condition, 3 or more.
        device: "auto" takes an accelerator where there is one at full scale; small networks are quicker on the CPU.
        renew: train again what was trained before more numbers were kept.
        progress: True shows a progress line on stderr, False none, None one on a terminal.

    Raises:
        UnknownNameError: there is no such family.
        InputError: fewer than three seeds or one job, or data at full scale are missing.
    """
    if scale not in ("small", "medium", "full"):
        raise InputError(f"the scale is small, medium or full, got {scale!r}")
    if seeds < len(SEEDS):
        raise InputError(f"a spread needs {len(SEEDS)} seeds or more, got {seeds}")
    chosen = _chosen(family, scale)
    _check_data(chosen, scale, data)
    used = tuple(range(seeds))
    store = Store(folder=Path(out) / "outcomes")
    # A seed of all families before the next one: whatever a long run is stopped by, there is something to read.
    wanted = sorted((setup for one in chosen for setup in one.setups(scale, used)), key=lambda setup: setup.seed)
    where = "cpu" if device == "auto" and scale != "full" else device
    made = run_missing(wanted, store, jobs=jobs, data=data, device=where, progress=progress, renew=renew)
    return Reproduction(summaries=_judged(chosen, store, scale, used), progress=made)


def judge(
    family: str | None = None,
    *,
    scale: Scale = "small",
    out: str | os.PathLike[str] = "reproduction",
    seeds: int = len(SEEDS),
) -> tuple[FamilySummary, ...]:
    """Judge the claims from the trainings that are there, and run none.

    Args:
        family: as in `reproduce`.
        scale: as in `reproduce`.
        out: as in `reproduce`.
        seeds: as in `reproduce`.
    """
    chosen = _chosen(family, scale)
    return _judged(chosen, Store(folder=Path(out) / "outcomes"), scale, tuple(range(seeds)))


def _judged(chosen: Sequence[Family], store: Store, scale: Scale, seeds: tuple[int, ...]) -> tuple[FamilySummary, ...]:
    return tuple(summarize(one, store.load(one.setups(scale, seeds)), scale=scale, seeds=seeds) for one in chosen)


def _chosen(family: str | None, scale: Scale) -> tuple[Family, ...]:
    every = tuple(FAMILIES.values()) if family is None else (family_named(family),)
    chosen = tuple(one for one in every if one.conditions(scale))
    if not chosen:
        known = ", ".join(one.name for one in FAMILIES.values() if one.medium is not None)
        raise InputError(f"the family {every[0].name} has no {scale} scale; those with one are {known}")
    return chosen


def _check_data(chosen: Sequence[Family], scale: Scale, data: str | os.PathLike[str] | None) -> None:
    if scale == "medium":
        # Read once before hours of training: an absent or damaged file is one sentence now.
        load_images("fashion-mnist", folder=files_of("fashion-mnist", data), n_train=10, n_test=10)
    if scale != "full":
        return
    needed = sorted({name for one in chosen for name in one.needs})
    if needed and data is None:
        raise InputError(
            f"the full scale of {', '.join(one.name for one in chosen if one.needs)} reads {', '.join(needed)} from "
            f"files: name their folder with --data FOLDER, with sub-folders {', '.join(needed)}"
        )
    absent = [name for name in needed if data is not None and not (Path(data) / name).is_dir()]
    if absent:
        raise InputError(
            f"there is no folder {', '.join(str(Path(os.fspath(data or '')) / name) for name in absent)}; the full "
            "scale expects the standard files of each data set in a sub-folder of --data with its name"
        )
