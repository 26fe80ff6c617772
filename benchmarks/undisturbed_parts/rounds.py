"""One setting with everybody who looks on: which trainings are the same as without, and which are caught."""

from __future__ import annotations

import gc
import random
import shutil
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from undisturbed_parts import features
from undisturbed_parts.clumsy import CLUMSY, Clumsy
from undisturbed_parts.traces import Left, Trace, World, differences, said, trace_of
from undisturbed_parts.watches import OBSERVERS, Observing, OwnHook, Watch


class Setting(Protocol):
    """A way to train."""

    key: str
    title: str
    about: str
    ranks: int

    def run(self, watch: Watch) -> Left:
        """Train, with somebody looking on."""

    def forget(self) -> None:
        """Let go of what the last training made."""


def trained(setting: Setting, watch: Watch) -> Trace:
    """Train once from fixed seeds, and note everything that the training left."""
    before = World.now()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    left = setting.run(watch)
    watch.close()
    trace = trace_of(left, watch.moments, watch.batches, watch.losses)
    _judge_features(watch)
    network = weakref.ref(left.network)
    del left
    setting.forget()
    watch.let_go()
    trace["memory"] = before.memory_since() | {"network": "gone" if network() is None else "still there"}
    trace["threads"] = before.threads_since()
    watch.tidy()
    return trace


def _judge_features(watch: Watch) -> None:
    """Give an observer's watch the plain forward passes that its records have to agree with."""
    if isinstance(watch, Observing) and watch.readings:
        scene = watch.scene
        watch.plain = features.plain_readings(scene.make, watch.snapshots, scene.head, scene.probe, scene.call)
        watch.snapshots.clear()


def cell(watch: Any, trace: Trace, reference: Trace, heard: list[features.Reading], ranks: int) -> dict[str, Any]:
    """The verdict on one observer in one setting.

    Args:
        watch: of the observer, after its training.
        trace: of that training.
        reference: of the training without.
        heard: what one hook of torch heard in a training of its own.
        ranks: processes that train together.
    """
    found = differences(trace, reference)
    told: dict[str, Any] = {"differs": found, "records": len(watch.readings), "refusal": watch.refusal}
    if watch.refusal is not None:
        return told | {"verdict": "differs" if found else "refused", "features": None}
    plain = watch.plain if isinstance(watch, Observing) else heard
    wrong = None if watch.idle else features.disagreement(watch.readings, plain, whole=ranks == 1)
    return told | {"verdict": "differs" if found or wrong else "identical", "features": wrong}


def looked_at(
    setting: Setting,
    observers: Sequence[type[Watch]] = OBSERVERS,
    clumsy: Sequence[type[Clumsy]] = CLUMSY,
    folder: Path | None = None,
) -> dict[str, Any]:
    """One setting: without, with each observer, and with everybody who has to be caught.

    The first training happens before phiscope is imported, where the process is fresh; a second one without anybody
    shows that the setting repeats itself at all, a last one that nothing stays switched over in the process.

    Args:
        setting: what to train.
        observers: who has to be unseen.
        clumsy: who has to be seen.
        folder: for runs; None = a temporary one.

    Returns:
        Plain values: "fresh" (phiscope was not loaded at the beginning), "gone" (the network is, when it is deleted
        without an observer), "twin", "one hook", "afterwards" (what differs in these), "cells" by observer, "controls"
        by disturbance.
    """
    place = Path(tempfile.mkdtemp(prefix="undisturbed-")) if folder is None else folder
    # What is there now is not looked through again and again: only what comes can be left.
    gc.collect()
    gc.freeze()
    try:
        return _looked_at(setting, observers, clumsy, place)
    finally:
        gc.unfreeze()
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


def _looked_at(
    setting: Setting, observers: Sequence[type[Watch]], clumsy: Sequence[type[Clumsy]], place: Path
) -> dict[str, Any]:
    fresh = "phiscope" not in sys.modules
    first = trained(setting, Watch(place))
    twin = trained(setting, Watch(place))
    # Libraries keep tensors and threads of their first use; what an observer leaves comes on top of both.
    reference = first | {heading: twin[heading] for heading in ("memory", "threads")}
    ear = OwnHook(place)
    hooked = trained(setting, ear)
    cells = {}
    for number, kind in enumerate(observers):
        watch = kind(place / f"{number}")
        trace = trained(setting, watch)
        cells[kind.name] = cell(watch, trace, reference, ear.readings, setting.ranks)
    controls = {}
    for one in clumsy:
        found = differences(trained(setting, one(place)), reference)
        controls[one.name] = {"expected": one.part, "caught": one.part in found, "differs": said(found)}
    afterwards = trained(setting, Watch(place))
    return {
        "fresh": fresh,
        "gone": reference["memory"]["network"] == "gone",
        "twin": said(differences(twin, reference)),
        "one hook": said(differences(hooked, reference)),
        "afterwards": said(differences(afterwards, reference)),
        "cells": cells,
        "controls": controls,
    }
