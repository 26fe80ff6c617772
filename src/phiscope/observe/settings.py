"""The settings of observers, checked as a whole before anything is measured or written."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from phiscope.errors import InputError, named_kind
from phiscope.inputs.arrays import as_count, as_share
from phiscope.inputs.settings import check_flag, check_max_samples, device_of
from phiscope.runs.opening import check_header, folder_of


def check_settings(settings: Iterable[str], known: Iterable[str], of: str) -> None:
    """Refuse a setting that observers do not have, and offer the nearest.

    Args:
        settings: names that were given.
        known: names that there are.
        of: whose settings, as "an observer".

    Raises:
        InputError: one of them is not known.
    """
    names = sorted(known)
    for name in settings:
        if name not in names:
            nearest = difflib.get_close_matches(name, names, n=1)
            offer = f"did you mean {nearest[0]}?" if nearest else f"expected some of {', '.join(names)}"
            raise InputError(f"{of} has no setting {name!r}; {offer}")


def check_values(settings: Mapping[str, Any]) -> None:
    """Refuse a value that would fail only once a run has been begun.

    Args:
        settings: of an observer, by their names; those that are not looked at here are passed over.

    Raises:
        InputError: one of them cannot be used.

    Example:
        >>> check_values({"run": "runs/mine", "gallery": 100, "max_samples": None})
    """
    for name, check in _CHECKS.items():
        if name in settings:
            check(settings[name])


def check_initial(initial: Any, own: Mapping[str, Tensor]) -> None:
    """Refuse an initial state that is not of this network.

    Args:
        initial: see `Observer`.
        own: parameters and buffers of the network by name.

    Raises:
        InputError: it is none of the words, or a tensor in it has no place in the network.
    """
    if initial is None or (isinstance(initial, str) and initial == "now"):
        return
    if not isinstance(initial, Mapping):
        raise InputError(f"initial={initial!r:.60}; expected 'now', tensors by name, or None")
    for name, tensor in initial.items():
        if name not in own:
            near = difflib.get_close_matches(str(name), own, n=1) or list(own)[:1]
            raise InputError(
                f"initial has {name!r}, which is no parameter or buffer of the model (it has {near[0]!r}); pass the "
                "tensors by their names in the model inside of its wrappers"
                if near
                else f"initial has {name!r}, and the model has neither parameters nor buffers; pass initial=None"
            )
        if not isinstance(tensor, Tensor):
            raise InputError(f"initial has {named_kind(tensor)} for {name!r}, expected a tensor")
        if tensor.shape != own[name].shape:
            raise InputError(
                f"initial has {name!r} of shape {tuple(tensor.shape)}, expected {tuple(own[name].shape)} as in the "
                "model; pass the state of this network"
            )


def _check_kept(kept: Any) -> None:
    if kept is not None:
        as_count(kept, name="keep_eigenvectors", least=0)


_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "run": folder_of,
    "header": check_header,
    "max_samples": check_max_samples,
    "device": device_of,
    **{name: partial(check_flag, name=name) for name in ("padding", "restricted", "resume", "corrected", "background")},
    "gallery": partial(as_count, name="gallery", least=0),
    "gradients": partial(as_count, name="gradients", least=0),
    "keep_eigenvectors": _check_kept,
    "rank_tolerance": partial(as_share, name="rank_tolerance", example="1e-4"),
}
