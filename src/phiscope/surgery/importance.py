"""Scores for the tools that cut: Torch-Pruning, which knows what hangs together, and torch.nn.utils.prune."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError, named_kind
from phiscope.inputs.arrays import as_array, as_count
from phiscope.inputs.settings import is_word
from phiscope.measurement.layers import Layers
from phiscope.measurement.record import Measurement
from phiscope.surgery.material import Ridge, Target
from phiscope.surgery.scores import Rule, UnitScores, score_units
from phiscope.typing import FloatArray

Reduction = Literal["mean", "sum", "max", "prod", "first"]
"""How the scores of coupled layers become one, by Torch-Pruning's names."""

Missing = Literal["refuse", "keep"]
"""What becomes of channels that nobody scored: an error, or they all stay."""

_WIDTHS = ("out_channels", "out_features", "num_features", "num_channels", "embedding_dim", "num_parameters")
"""Where layers say how many output channels they have."""


def as_importance(
    layers: Layers | Mapping[str, Measurement | UnitScores | Any],
    *,
    rule: Rule = "greedy",
    target: Target = "labels",
    ridge: Ridge = None,
    head: Any = None,
    reduction: Reduction = "mean",
    normalizer: str | None = "mean",
    missing: Missing = "refuse",
) -> Any:
    """Scores of layers as an importance for Torch-Pruning, which decides what has to go together and cuts it.

    Torch-Pruning hands over a group of coupled layers; of each whose output channels would go, the scores are looked up
    by its dotted name, and made one by ``reduction``. The last entry of `phiscope.measure_layers` is what the head
    reads: its scores are looked up where the head's inputs would go.

    Args:
        layers: from `phiscope.measure_layers`; or a mapping from dotted names, as they are in the network that
            Torch-Pruning gets, to measurements, to `UnitScores`, or to one number a channel, large where it matters.
        rule: see `score_units`, for measurements.
        target: see `score_units`; "outputs" takes the network's outputs as the layers' moments have them.
        ridge: see `score_units`.
        head: (W, b), where the scores of what the head reads need its weights.
        reduction: of coupled layers.
        normalizer: as `tp.importance.MagnitudeImportance` takes it; None leaves scores as they are.
        missing: "refuse" raises at a group of which no layer has scores; "keep" leaves its channels alone.

    Returns:
        A `tp.importance.MagnitudeImportance` whose scores are these.

    Raises:
        MissingDependencyError: torch-pruning is not installed.
        InputError: no layers, or scores that are no row of finite numbers; when called, a group without scores, or
            scores of a layer that was cut since.
        UnknownNameError: another word for `reduction` or `missing`.

    Source: contract of Torch-Pruning 1.6 (arXiv:2301.12900); the scores are those of `score_units`.

    Example:
        ``tp.pruner.BasePruner(net, x, importance=as_importance(phiscope.measure_layers(net, data, ["bn1", "bn2"])))``
    """
    for word, known, what in ((reduction, get_args(Reduction), "reduction"), (missing, get_args(Missing), "missing")):
        if not is_word(word, known):
            raise UnknownNameError(what, str(word), known)
    if not isinstance(layers, Mapping):
        raise InputError(
            f"as_importance got {named_kind(layers)}; expected what phiscope.measure_layers gives, or a mapping from "
            "the layers' dotted names to measurements or scores, as {'bn1': m}"
        )
    if not layers:
        raise InputError("as_importance needs the scores of at least one layer, and there are none")
    last = layers.head if isinstance(layers, Layers) else None
    scores = {}
    for name, one in layers.items():
        weights = head if name == last else None
        scored = (
            score_units(one, rule=rule, target=target, ridge=ridge, head=weights)
            if isinstance(one, Measurement)
            else one
        )
        scores[name] = _Channels(name=name, values=_values(scored, f"layer {name!r}"), of_inputs=name == last)
    return _importance_class()(scores, reduction=reduction, normalizer=normalizer, keeps=missing == "keep")


def importance_scores(scores: UnitScores | Any, parameter: Tensor, *, dim: int = 0) -> Tensor:
    """Scores in the shape of a parameter, for ``importance_scores=`` of the functions in `torch.nn.utils.prune`.

    Args:
        scores: from `score_units`, or one number a unit, large where it matters.
        parameter: whose rows (or columns) the units are.
        dim: axis of the units: 0 for those that a layer makes, 1 for those that it reads.

    Returns:
        Shape of the parameter, its dtype and device, the same number all over one unit, from 0 up.

    Raises:
        InputError: another number of units, or a score below 0, which torch would take for a large one.

    Source: contract of torch.nn.utils.prune; the form is phiscope's own.

    Example:
        >>> importance_scores([0.5, 2.0], torch.zeros(2, 3)).tolist()
        [[0.5, 0.5, 0.5], [2.0, 2.0, 2.0]]
    """
    values = _values(scores, "the parameter")
    if not isinstance(parameter, Tensor):
        raise InputError(f"parameter is {named_kind(parameter)}; expected a parameter or another tensor")
    dim = as_count(dim, name="dim", least=-parameter.ndim)
    if not -parameter.ndim <= dim < parameter.ndim or parameter.shape[dim] != len(values):
        raise InputError(
            f"{len(values)} scores for axis {dim} of a parameter of shape {tuple(parameter.shape)}; expected one for "
            "each unit, and dim= the axis of the units"
        )
    if values.min() < 0:
        raise InputError(f"the lowest score is {values.min():.3g}; expected numbers from 0 up, as torch takes lengths")
    shape = [1] * parameter.ndim
    shape[dim] = -1
    made = torch.from_numpy(values).to(device=parameter.device, dtype=parameter.dtype)
    return made.reshape(shape).expand(parameter.shape).clone()


@dataclass(frozen=True, kw_only=True)
class _Channels:
    """Scores of one layer's channels: of its outputs, or of its inputs where it is the head."""

    name: str
    values: FloatArray
    of_inputs: bool

    def of(self, layer: Any, indices: Iterable[int]) -> Tensor:
        """Scores of some channels."""
        width = next((getattr(layer, name) for name in _WIDTHS if isinstance(getattr(layer, name, None), int)), None)
        width = getattr(layer, "in_features", width) if self.of_inputs else width
        if width is not None and width != len(self.values):
            raise InputError(
                f"layer {self.name!r} has {width} channels and scores for {len(self.values)}; measure and score again "
                "after each cut"
            )
        return torch.from_numpy(self.values[np.asarray(list(indices), dtype=np.int64)])


def _values(scores: Any, what: str) -> FloatArray:
    values = scores.importance if isinstance(scores, UnitScores) else scores
    row = as_array(values, name=f"the row of scores of {what}").astype(np.float64)
    if row.ndim != 1 or not len(row) or not np.isfinite(row).all():
        raise InputError(f"scores of {what} have shape {row.shape}; expected one finite number a channel")
    return row.copy()


@functools.cache
def _importance_class() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise MissingDependencyError("torch-pruning", purpose="as_importance()", extra="pruning") from error

    class Importance(torch_pruning.importance.MagnitudeImportance):  # type: ignore[misc]
        """Scores by layer, reduced and normalized as Torch-Pruning does it."""

        def __init__(
            self, scores: Mapping[str, _Channels], *, reduction: str, normalizer: str | None, keeps: bool
        ) -> None:
            super().__init__(group_reduction=reduction, normalizer=normalizer)
            self.scores, self.keeps = scores, keeps

        def __call__(self, group: Any) -> Tensor | None:
            """One score for each channel of the group's root, large where it matters."""
            values, places, names = [], [], []
            for item, (dependency, indices) in zip(group.items, group, strict=True):
                name = dependency.target.name.partition(" (")[0]
                names.append(name)
                found = self.scores.get(name)
                wanted = "prune_in_channels" if found is not None and found.of_inputs else "prune_out_channels"
                # Torch-Pruning takes one function for both where a layer has as many outputs as inputs.
                if found is not None and dependency.pruning_fn.__name__ == wanted:
                    values.append(found.of(dependency.layer, indices))
                    places.append(item.root_idxs)
            if not values:
                _check_kept(names, self.scores, self.keeps)
                return None
            reduced = self._reduce(values, places)
            return self._normalize(reduced, self.normalizer)  # type: ignore[no-any-return]

    return Importance


def _check_kept(names: Iterable[str], scores: Iterable[str], keeps: bool) -> None:
    if keeps:
        return
    coupled = ", ".join(repr(name) for name in dict.fromkeys(names) if not name.startswith("_"))
    scored = ", ".join(map(repr, scores))
    raise InputError(
        f"none of the coupled layers {coupled:.200} has scores, only {scored:.200} has; measure one of them too, or "
        'pass missing="keep" to leave their channels alone'
    )
