"""Which layers are linear in their input, and their weights as one (C, p) matrix."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from phiscope.errors import HeadError

LinearKind = Literal["linear", "conv1x1"]


def linear_kind(module: nn.Module) -> LinearKind | None:
    """Say whether a module is a linear layer that can be a head.

    Args:
        module: any module.

    Returns:
        "linear" for torch's Linear and its subclasses and for transformers' Conv1D; "conv1x1" for a
        convolution with kernel 1, stride 1, no padding and one group; None for everything else.

    Example:
        >>> linear_kind(nn.Conv2d(8, 3, kernel_size=1))
        'conv1x1'
        >>> linear_kind(nn.ReLU()) is None
        True
    """
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        return None
    if isinstance(module, nn.Linear) or _is_transposed(module):
        return "linear"
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        return "conv1x1" if _is_pointwise(module) else None
    return None


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers of a model by dotted name, in the order they were registered.

    Raises:
        HeadError: a lazy layer has no weights yet; running it here would create them.
    """
    named = dict(model.named_modules())
    for name, module in named.items():
        lazy = [parameter for parameter in module.parameters(recurse=False) if is_lazy(parameter)]
        if lazy:
            raise HeadError(
                f"layer {name!r} is lazy and has no weights yet; run the model once on a batch before measuring"
            )
    return {name: module for name, module in named.items() if linear_kind(module) is not None}


def weight_and_bias(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return W (C, p) and b (C,) or None of a linear layer, detached, sharing memory where possible."""
    layer: Any = module
    weight: Tensor = _gathered(layer.weight.detach())
    bias = None if layer.bias is None else _gathered(layer.bias.detach())
    if _is_transposed(module):
        weight = weight.T
    return weight.flatten(1), bias


def channels_last(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return the input or output of a linear layer with its features on the last axis."""
    return tensor.movedim(1, -1) if linear_kind(module) == "conv1x1" else tensor


def channels_back(module: nn.Module, tensor: Tensor) -> Tensor:
    """Undo `channels_last`."""
    return tensor.movedim(-1, 1) if linear_kind(module) == "conv1x1" else tensor


def _gathered(tensor: Any) -> Tensor:
    # Sharded weights (FSDP2, tensor parallelism) are DTensors; arithmetic below needs the whole matrix.
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def _is_transposed(module: nn.Module) -> bool:
    # transformers' Conv1D is a linear layer that keeps W^T (p, C); torch's Conv1d is something else.
    weight = getattr(module, "weight", None)
    named = type(module).__name__ == "Conv1D" and hasattr(module, "nf")
    return named and isinstance(weight, Tensor) and weight.ndim == 2


def _is_pointwise(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    # "same" and "valid" add nothing around a kernel of 1.
    padded = not isinstance(module.padding, str) and any(module.padding)
    return module.groups == 1 and not padded and all(k == 1 for k in (*module.kernel_size, *module.stride))
