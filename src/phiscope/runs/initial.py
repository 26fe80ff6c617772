"""The network at its start, kept in the run: what later features are compared with, also after a resume.

Written once, as large as the network's parameters and buffers together.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from phiscope.archive import is_file, writing
from phiscope.errors import RunFormatError, RunWriteError
from phiscope.runs import layout


def save_initial(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Keep parameters and buffers in a run; a network that no such file can hold is left out with a warning.

    Args:
        folder: the run's folder.
        tensors: by their names in the network.

    Raises:
        RunWriteError: the file cannot be written.
    """
    odd = [name for name, tensor in tensors.items() if tensor.layout != torch.strided or tensor.is_quantized]
    if odd:
        warnings.warn(
            f"the initial state is not stored with the run, because {odd[0]} is no plain tensor; a resumed run goes on "
            "without initial_kernel_similarity unless it is given initial=",
            stacklevel=2,
        )
        return
    # Pairs of real numbers stand for complex ones, which the format does not know.
    plain = {
        name: (torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor).contiguous().cpu()
        for name, tensor in tensors.items()
    }
    target = folder / layout.INITIAL
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    with writing(target):
        try:
            partial.unlink(missing_ok=True)
            save_file(plain, partial, metadata={"format": "pt"})
            _flush(partial)
            partial.replace(target)
        except SafetensorError as error:
            reason = str(error)
            raise RunWriteError(
                f"{target} cannot be written ({reason}); it holds the network's initial state, pass initial=None to do "
                "without",
                path=str(target),
                reason=reason,
            ) from error
        finally:
            partial.unlink(missing_ok=True)
    layout.sync_folder(folder)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def load_initial(folder: Path, network: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The initial parameters and buffers of a run, on the devices of the present ones.

    Args:
        folder: the run's folder.
        network: the present parameters and buffers by name.

    Returns:
        Tensors by name; None when the run kept none.

    Raises:
        RunFormatError: the file is damaged, or belongs to another network.
    """
    path = folder / layout.INITIAL
    if not is_file(path):
        return None
    room = sum(tensor.nbytes for tensor in network.values())
    if path.stat().st_size > 2 * room + 2**27:
        raise RunFormatError(f"{path} is larger than the network it should hold; it is damaged or of another network")
    try:
        stored = load_file(path)
    except (SafetensorError, ValueError, TypeError, LookupError, OSError, MemoryError) as error:
        raise RunFormatError(f"{path} cannot be read ({error}); pass initial=None to go on without it") from error
    if set(stored) != set(network):
        raise RunFormatError(_OTHER.format(path, sorted(set(stored) ^ set(network))[0]))
    return {name: _fitting(path, name, stored[name], like) for name, like in network.items()}


_OTHER = (
    "{} holds the initial state of another network (they differ in {}); resume with the network of this run, or pass "
    "initial=None"
)


def _fitting(path: Path, name: str, stored: Tensor, like: Tensor) -> Tensor:
    whole = torch.view_as_complex(stored) if like.is_complex() and stored.shape[-1:] == (2,) else stored
    if whole.shape != like.shape or whole.dtype != like.dtype:
        raise RunFormatError(_OTHER.format(path, name))
    return whole.to(like.device)
