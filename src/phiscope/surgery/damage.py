"""A causal probe: what the network loses when eigenfeatures of a layer are taken from it.

Utilization says where the head reads; this asks the network itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from torch import nn

from phiscope.errors import InputError, UnknownNameError, named_kind
from phiscope.inputs.progress import bar_of
from phiscope.inputs.settings import check_max_samples, check_seed, is_word, numbers_of
from phiscope.measurement.record import Measurement, as_measurement
from phiscope.network.isolation import unwrapped
from phiscope.network.layer_plan import ReadingChoice
from phiscope.network.layer_reading import Maps, Tokens
from phiscope.surgery.costs import Cost, cost_of, losses_of, paired_means, paired_proportions, right_of
from phiscope.surgery.samples import Tried
from phiscope.surgery.trials import Edit, HeadTrial, LayerTrial, Trial
from phiscope.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

Of = Literal["single", "first", "last"]
"""Which eigenfeatures are taken: the k-th alone, the first k, or all from the k-th on. Of a measurement that holds only
leading ones "last" takes everything outside the first k - 1, which is the same on the samples that were measured."""

Kind = Literal["remove", "replace", "shuffle"]
"""What stands in their place: their mean, noise of the same energy, or another sample's."""

MOST = 64
"""So many leading eigenfeatures are tried unless others are named."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What each intervention costs, on the samples it was tried on.

    Attributes:
        of: which eigenfeatures were taken.
        kind: what stood in their place.
        k: eigenfeatures, from 1, shape (K,).
        n_samples: samples that it was tried on; positions, where the network answers at each.
        n_inputs: inputs that they come from; intervals are over these, as positions of one input are not independent.
        reading: what of the layer was changed, in words.
        accuracy_before: share right without intervention; None for values.
        loss_before: cross-entropy in nats, or squared error summed over outputs.
        accuracy_lost: rows of value, low and high end of the 95 % interval over samples, shape (K, 3); None for values.
        loss_added: the same of the loss.
        logit_change: mean squared change of the outputs, summed over outputs, shape (K,).
        eigenvalues: rho_k, shape (K,), in squared feature units.
        utilization: share of the outputs in e_k, shape (K,); None where the measurement has none.
        quality: share of the targets in e_k, shape (K,); None where it has none.
    """

    of: str
    kind: str
    k: IntArray = field(repr=False)
    n_samples: int
    n_inputs: int
    reading: str
    accuracy_before: float | None
    loss_before: float
    accuracy_lost: FloatArray | None = field(repr=False)
    loss_added: FloatArray = field(repr=False)
    logit_change: FloatArray = field(repr=False)
    eigenvalues: FloatArray = field(repr=False)
    utilization: FloatArray | None = field(repr=False)
    quality: FloatArray | None = field(repr=False)

    def figure(self) -> Drawing:
        """Damage over k, and against strength, utilization and quality (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.surgery_sheets import damage_sheet

        return drawn(damage_sheet(self), purpose="Damage.figure()")

    def keep(self, run: str | PathLike[str], title: str = "") -> Path:
        """Keep the picture and its numbers with a run, so that the run's page shows them (needs no matplotlib).

        Args:
            run: the run's folder, also while it is being written.
            title: above the picture; empty says what was taken.

        Returns:
            The file that was written in the run's folder.

        Raises:
            RunFormatError: there is no run.
            RunWriteError: the file cannot be written.
        """
        from phiscope.figures.kept import keep_sheet
        from phiscope.figures.paper.surgery_sheets import WORDS, damage_sheet

        return keep_sheet(replace(damage_sheet(self), headline=title or f"Without {WORDS[self.of]}"), run)


def damage(
    model: nn.Module,
    data: Any,
    measurement: Measurement,
    *,
    of: Of = "single",
    kind: Kind = "remove",
    layer: nn.Module | str | None = None,
    head: nn.Module | str | None = None,
    maps: Maps | None = None,
    tokens: Tokens | None = None,
    k: Sequence[int] | None = None,
    seed: int = 0,
    max_samples: int | None = None,
    progress: bool | None = None,
) -> Damage:
    """Take eigenfeatures from a network and see what it loses.

    Args:
        model: the network; it is not changed.
        data: samples with targets, as for `phiscope.measure`; others than those of the measurement are fairer.
        measurement: of the features that are tampered with, with eigenvectors: of the head's input, or of `layer`, from
            `phiscope.measure_layers`.
        of: "single", "first" or "last"; see `Of`.
        kind: "remove" (the mean takes its place), "replace" (noise with variance rho_k), "shuffle" (of another
            sample; with `layer`, of the same batch).
        layer: None for the head's input; or a layer or its dotted name, with ``@2`` behind it for the second of its
            calls. Where its output has positions, the features are changed as they were measured: of a mean over
            positions, every position by the same, so that the mean loses e_k and what varies between positions stays;
            of positions as samples, each by its own; of a flattened map, the map; of a first or last token, that one.
        head: whose outputs accuracy and loss are read from, as `phiscope.measure` was told. None asks the network: its
            head, as logits that a softmax follows; with `layer`, the network's own answers where no layer is the head,
            or where targets are values and the answers are another function of what the head gives.
        maps: as `phiscope.measure_layers` was told.
        tokens: as `phiscope.measure_layers` was told.
        k: which, from 1; None takes the leading 64 that the measurement holds.
        seed: of noise and shuffling.
        max_samples: samples to try it on; None = all.
        progress: a bar; None = when somebody watches.

    Returns:
        Accuracy lost and loss added, each with its interval over samples: of paired proportions for accuracy, which is
        never of width zero, and of paired means for the loss.

    Raises:
        UnknownNameError: another word for `of` or `kind`; there is no such layer.
        HeadError: which layer is the head cannot be told, or `head` is none.
        InputError: k beyond the eigenvectors; a measurement of another layer, by the name in its provenance (one of
            arrays has none), or read in another way; data without targets; "last" with "replace" where the measurement
            holds only leading eigenvectors; with `layer`, data that can be read only once or come in another order each
            time; without it, values as targets where the answers are another function of what the head gives.
        TargetError: labels that the network's outputs do not have.

    Source: phiscope's own; intervals of paired proportions by Agresti and Min 2005.

    Example:
        >>> import torch
        >>> from phiscope.measurement.measure import measure
        >>> net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        >>> data = (torch.randn(200, 4), torch.arange(200) % 2)
        >>> damage(net, data, measure(net, data), of="first").k.tolist()
        [1, 2, 3, 4, 5, 6]
    """
    for value, known, what in ((of, get_args(Of), "of"), (kind, get_args(Kind), "kind")):
        if not is_word(value, known):
            raise UnknownNameError(what, str(value), known)
    check_seed(seed)
    check_max_samples(max_samples)
    if layer is None and not (maps is None and tokens is None):
        raise InputError(
            "maps= and tokens= say how a layer is read, and none was named; pass layer=, or leave them out"
        )
    if head is not None and not isinstance(head, nn.Module | str):
        raise InputError(f"head is {named_kind(head)}; expected a layer of the network or its dotted name")
    chosen = _places(as_measurement(measurement), k)
    _check_noise(measurement, of, kind)
    tried = Tried(network=unwrapped(model), data=data, max_samples=max_samples, head=head)
    noise = np.random.default_rng(seed)
    trial = (
        HeadTrial(tried, measurement)
        if layer is None
        else LayerTrial(tried, measurement, layer, ReadingChoice(maps=maps, tokens=tokens, max_features=sys.maxsize))
    )
    before = trial.outputs(None)
    results = []
    with bar_of(chosen.tolist(), shown=progress, desc="eigenfeatures", leave=False) as bar:
        for place in bar:
            after = trial.outputs(_edit(measurement, of, place, kind, noise))
            results.append(cost_of(before, after, trial.targets))
    return _summary(measurement, trial, chosen, before, results, of, kind)


def _edit(measurement: Measurement, of: Of, place: int, kind: Kind, noise: np.random.Generator) -> Edit:
    """The edit that takes the place-th eigenfeature, those up to it, or all from it on."""
    spectrum = measurement.centered
    if of == "last" and not spectrum.has_all_vectors:
        return Edit(np.arange(0), kind, noise, spared=place - 1)
    most = spectrum.eigenvectors.shape[1]
    taken = {"single": [place - 1], "first": range(place), "last": range(place - 1, most)}[of]
    return Edit(np.asarray(list(taken)), kind, noise)


def _check_noise(measurement: Measurement, of: Of, kind: Kind) -> None:
    """Refuse noise along eigenvectors that the measurement does not hold."""
    spectrum = measurement.centered
    if of == "last" and kind == "replace" and not spectrum.has_all_vectors:
        raise InputError(
            f'of="last" with kind="replace" needs every eigenvector for its noise, and the measurement holds the '
            f'{spectrum.eigenvectors.shape[1]} leading ones; measure without k= and keep all, or pass kind="remove"'
        )


def _places(measurement: Measurement, k: Sequence[int] | None) -> IntArray:
    most = measurement.centered.eigenvectors.shape[1]
    if not most:
        raise InputError("the measurement holds no eigenvectors; measure again, or observe with keep_eigenvectors=None")
    if k is None:
        return np.arange(1, min(most, MOST) + 1)
    return numbers_of(k, name="k", of="numbers of eigenfeatures", most=most)


def _summary(
    m: Measurement,
    trial: Trial,
    chosen: IntArray,
    before: FloatArray,
    results: Sequence[Cost],
    of: str,
    kind: str,
) -> Damage:
    right = right_of(before, trial.targets)
    lost = None
    if right is not None:
        pairs = [(one.right_before, one.right_after) for one in results]
        lost = np.asarray([paired_proportions(a, b, trial.units) for a, b in pairs if a is not None and b is not None])
    spectrum = m.centered
    index = chosen - 1
    return Damage(
        of=of,
        kind=kind,
        k=chosen,
        n_samples=len(before),
        n_inputs=len(np.unique(trial.units)),
        reading=trial.reading,
        accuracy_before=None if right is None else float(right.mean()),
        loss_before=float(losses_of(before, trial.targets).mean()),
        accuracy_lost=lost,
        loss_added=np.asarray([paired_means(one.added, trial.units) for one in results]),
        logit_change=np.asarray([one.change for one in results]),
        eigenvalues=spectrum.eigenvalues[index],
        utilization=None if spectrum.utilization is None else spectrum.utilization[index],
        quality=None if spectrum.quality is None else spectrum.quality[index],
    )
