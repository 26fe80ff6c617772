"""Measuring a network under training: all numbers of both splits, and the few that need a rank tolerance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phiscope.measurement.assemble import measurement_of
from phiscope.measurement.diagonalize import diagonalize
from phiscope.measurement.measure_layers import measure_layers
from phiscope.measurement.network_pass import PassOptions, run_pass
from phiscope.measurement.record import Measurement
from phiscope.moments.gathered import Gathered
from phiscope.network import FeatureMap, split_on
from phiscope.network.initial import InitialFeatures
from phiscope.network.isolation import isolated
from phiscope.reproduction.outcome import short
from phiscope.studies.networks import StudyNetwork

BETWEEN = (3.1e-7, 1.2e-5)
"""Where a float32 pseudo-inverse cuts on 4,704 x 97 outputs, and on their 97 x 97 Gram matrix."""

TOLERANCES = (1e-10, 1e-4, 1e-2, 1e-1)
"""Rank tolerances at which D_LR is kept; results differ between them when the outputs' spectrum has no gap."""

SUBSETS = (4, 2)
"""D_LR is also measured on the first 1/4 and 1/2 of the training probe, to show what the number of samples does."""

LAYER_NUMBERS = (
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "used_variance",
    "participation_ratio_centered",
    "output_rank",
    "target_alignment",
    "readout_r2",
    "nc1",
)
"""What is kept of each layer, beside its number of features ("n_features")."""

CHANGE = "change_"
"""Begins the names of numbers of the features against f - f0 instead of the head's own outputs."""

_OF_CHANGE = ("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance", "output_rank")
_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Numbers of one split at one moment, and the regime."""

    numbers: Mapping[str, float]
    regime: str


class Probe:
    """Fixed samples of both splits on which one network is measured again and again.

    Besides the scalars of a measurement it reads, by these names: ``pihat_outputs``, Pihat(C) of the raw spectrum;
    ``pihat_rank``, centered Pihat(r); ``gap``, rho_C / rho_(C+1) raw; ``gap_centered``, at r; ``k90``; and
    ``dynamical_low_rank_at_T`` for every tolerance T of `TOLERANCES` and `BETWEEN` (and at the end for the former
    ``dynamical_low_rank_centered_at_T``); at the end also ``dynamical_low_rank_low`` and ``_high``, the 95 % interval
    for the population, and ``dynamical_low_rank_of_N`` on the first N training samples. Where the model is
    alpha (f - f0), numbers that begin with `CHANGE` compare the features with f - f0.

    Args:
        network: at initialization, on the device it stays on.
        samples: inputs and targets by split name.
        before: outputs f0 of the initial network on them, by split; empty where f itself is the model.
    """

    def __init__(
        self,
        network: StudyNetwork,
        samples: Mapping[str, tuple[Tensor, Tensor]],
        *,
        before: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.network = network
        self.samples = dict(samples)
        self._outputs_before = dict(before or {})
        self._initial = {name: part.detach().clone() for name, part in network.state_dict().items()}
        inputs, targets = next(iter(self.samples.values()))
        with isolated(network):
            self._map: FeatureMap = split_on(network, (inputs[:2], targets[:2]), head="head", device=None).feature_map
        self._before = {name: InitialFeatures(self._map, self._initial) for name in self.samples}

    @property
    def initial(self) -> Mapping[str, Tensor]:
        """Parameters and buffers at initialization, copies."""
        return self._initial

    def read(self, split: str, *, final: bool = False) -> Reading:
        """Measure one split.

        Args:
            split: its name.
            final: read also what takes longer: corrected numbers, intervals, more tolerances, fewer samples.

        Raises:
            NonFiniteError: a feature is NaN or Inf.
        """
        gathered = self._gather(split, corrected=final)
        measured = measurement_of(gathered)
        numbers = {name: short(value) for name, value in _numbers(measured).items() if math.isfinite(value)}
        numbers |= {name: short(value) for name, value in _between(gathered).items()}
        numbers |= {name: short(value) for name, value in self._of_change(split).items()}
        if final:
            numbers |= {name: short(value) for name, value in _slow_numbers(gathered, measured).items()}
            numbers |= {name: short(value) for name, value in self._fewer(split).items()}
        return Reading(numbers=numbers, regime=measured.regime or "cannot be told")

    def read_layers(self, split: str) -> dict[str, dict[str, float]]:
        """Numbers of every layer on one split, maps pooled, in the order of the forward pass; see `LAYER_NUMBERS`."""
        layers = measure_layers(self.network, list(_batches(*self.samples[split])), maps="pooled", head="head")
        found = {}
        for name, one in layers.items():
            numbers = {number: one[number] for number in LAYER_NUMBERS if number in one}
            kept = {"n_features": float(one.n_features), **numbers}
            found[name] = {number: short(value) for number, value in kept.items() if math.isfinite(value)}
        return found

    @torch.no_grad()
    def _of_change(self, split: str) -> dict[str, float]:
        """Numbers of the features against f - f0; none at the start, where f - f0 is zero."""
        if split not in self._outputs_before:
            return {}
        inputs, targets = self.samples[split]
        with isolated(self.network):
            self.network.eval()
            features = torch.cat([self.network.features(part) for part in torch.split(inputs, _BATCH)])
            change = self.network.head(features) - self._outputs_before[split]
        if not bool(change.any()):
            return {}
        measured = diagonalize(features, outputs=change, targets=targets, intervals=False)
        return {f"{CHANGE}{name}": measured[name] for name in _OF_CHANGE if name in measured}

    def _gather(self, split: str, *, corrected: bool, n: int | None = None) -> Gathered:
        inputs, targets = (part[:n] for part in self.samples[split])
        initial = self._before[split] if n is None else None
        with isolated(self.network):
            options = PassOptions(initial=initial, corrected=corrected)
            return run_pass(self._map, _batches(inputs, targets), options).result()

    def _fewer(self, split: str) -> dict[str, float]:
        found, whole = {}, len(self.samples[split][0])
        for part in SUBSETS:
            n = whole // part
            if n >= 10:
                measured = measurement_of(self._gather(split, corrected=False, n=n))
                if "dynamical_low_rank" in measured:
                    found[f"dynamical_low_rank_of_{n}"] = measured["dynamical_low_rank"]
        return found


def _batches(inputs: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(inputs, _BATCH), torch.split(targets, _BATCH), strict=True)


def _numbers(measured: Measurement) -> dict[str, float]:
    numbers = {name: value for name, value in measured.to_dict().items() if not name.endswith("_corrected")}
    evidence = measured.evidence
    if evidence is not None and evidence.k90 is not None:
        numbers["k90"] = evidence.k90
        numbers |= _at_rank("pihat_rank", measured.centered.cumulative_utilization, evidence.output_rank)
        numbers |= _gap("gap_centered", measured.centered.eigenvalues, evidence.output_rank)
    if measured.n_outputs is not None:
        numbers |= _at_rank("pihat_outputs", measured.raw.cumulative_utilization, measured.n_outputs)
        numbers |= _gap("gap", measured.raw.eigenvalues, measured.n_outputs)
    if measured.tolerance_curve is not None:
        curve = measured.tolerance_curve
        for tolerance in TOLERANCES:
            row = curve[np.argmin(np.abs(np.log(curve[:, 0] / tolerance)))]
            numbers[f"dynamical_low_rank_at_{tolerance:g}"] = float(row[2])
            numbers[f"output_rank_raw_at_{tolerance:g}"] = float(row[1])
    return numbers


def _between(gathered: Gathered) -> dict[str, float]:
    found = {}
    for tolerance in BETWEEN:
        other = measurement_of(gathered, rank_tolerance=tolerance)
        if "dynamical_low_rank" in other:
            found[f"dynamical_low_rank_at_{tolerance:g}"] = other["dynamical_low_rank"]
    return found


def _at_rank(name: str, curve: Any, k: int) -> dict[str, float]:
    return {} if curve is None or not len(curve) or k < 1 else {name: float(curve[min(k, len(curve)) - 1])}


def _gap(name: str, eigenvalues: Any, k: int) -> dict[str, float]:
    return {name: float(eigenvalues[k - 1] / eigenvalues[k])} if 1 <= k < len(eigenvalues) else {}


def _slow_numbers(gathered: Gathered, measured: Measurement) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("dynamical_low_rank", "dynamical_low_rank_centered"):
        if name in measured.estimates:
            found[f"{name}_low"], found[f"{name}_high"] = measured.interval(name)
        if f"{name}_corrected" in measured:
            found[f"{name}_corrected"] = measured[f"{name}_corrected"]
    for tolerance in TOLERANCES:
        other = measurement_of(gathered, rank_tolerance=tolerance)
        if "dynamical_low_rank_centered" in other:
            found[f"dynamical_low_rank_centered_at_{tolerance:g}"] = other["dynamical_low_rank_centered"]
    return {name: value for name, value in found.items() if math.isfinite(value)}


def device_named(name: str) -> torch.device:
    """Read "cpu", "cuda", or "auto" for an accelerator where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
