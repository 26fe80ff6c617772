"""Which layers are linear in their input, and their weights as one (C, p) matrix.

Three ways to a matrix: layers whose class says where it is; 1x1 convolutions; and layers that are asked, by running
them on the unit vectors. The last needs no knowledge of names and orientation, so it serves layers of other libraries,
adapters and parametrizations; that such a layer is linear on the data as well is checked with every batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from phiscope.errors import HeadError, InputError, UnknownNameError, named_kind
from phiscope.network.isolation import isolated

LinearKind = Literal["linear", "conv1x1", "probed"]


def layer_of(model: nn.Module, given: nn.Module | str, setting: str) -> nn.Module:
    """A layer of a model, given itself or by its dotted name.

    Args:
        model: unwrapped.
        given: the layer or its name.
        setting: what the caller calls it, for the error.

    Raises:
        UnknownNameError: there is no layer of that name; the message offers the nearest.
        InputError: it is no module, or none of this model.
    """
    named = named_layers(model)
    if isinstance(given, str):
        if given not in named:
            raise UnknownNameError("layer", given, [name for name in named if name])
        return named[given]
    if not isinstance(given, nn.Module) or not any(module is given for module in named.values()):
        raise InputError(f"{setting} is {named_kind(given)} that is no layer of this {type(model).__name__}")
    return given


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return every module of a model by dotted name, the model itself as "".

    Keras keeps its layers beside torch's tree of modules; they come by the names that `model.summary()` shows.

    Example:
        >>> list(named_layers(nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
        ['', '0', '1']
    """
    named = dict(model.named_modules(remove_duplicate=False))
    known = set(map(id, named.values()))
    for module in list(named.values()):
        flatten = getattr(module, "_flatten_layers", None)
        for layer in flatten(include_self=False) if is_keras(module) and flatten is not None else ():
            if id(layer) not in known and isinstance(layer, nn.Module):
                known.add(id(layer))
                named[_free_name(str(layer.name), named)] = layer
    return named


def at_rest(layer: nn.Module, name: str) -> Tensor:
    """A tensor of a layer as evaluation has it, without gradient; reading it moves nothing.

    A parametrized weight is made anew whenever it is read, and in training mode that moves what makes it: the vectors
    of a spectral norm take one more step.

    Args:
        layer: of any kind.
        name: of the tensor, such as "weight".

    Example:
        >>> layer = torch.nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2))
        >>> before = layer.parametrizations.weight[0]._u.clone()
        >>> at_rest(layer, "weight").shape, torch.equal(before, layer.parametrizations.weight[0]._u)
        (torch.Size([2, 3]), True)
    """
    if not parametrize.is_parametrized(layer, name):
        tensor: Tensor = getattr(layer, name).detach()
        return tensor
    with isolated(layer):
        made: Tensor = getattr(layer, name).detach()
    return made


def unwrapped_name(name: str, known: Mapping[str, Any]) -> str:
    """A dotted name as the layer has it inside compile and data-parallel wrappers.

    Example:
        >>> unwrapped_name("module._orig_mod.fc", {"fc": None})
        'fc'
    """
    inner = name
    while inner not in known and inner.split(".")[0] in ("module", "_orig_mod"):
        inner = inner.partition(".")[2]
    return inner


def is_keras(module: nn.Module) -> bool:
    """Say whether a module is a layer or model of Keras 3 (on its torch backend)."""
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(module).__mro__)


def is_conv1d(module: nn.Module) -> bool:
    """Say whether a module is transformers' Conv1D, a linear layer that keeps W^T (p, C); torch's is something else."""
    return type(module).__name__ == "Conv1D" and hasattr(module, "nf")


def computes_its_own(module: nn.Module) -> bool:
    """Whether a class derived from torch's does something else with the weight: scales, standardizes, quantizes it."""
    if isinstance(module, nn.modules.conv._ConvNd):
        plain: Any = next((kind for kind in _POINTWISE if isinstance(module, kind)), None)
        same = plain is not None and type(module)._conv_forward is plain._conv_forward
        return not (same and type(module).forward is plain.forward)
    return isinstance(module, nn.Linear) and type(module).forward is not nn.Linear.forward


def linear_kind(module: nn.Module) -> LinearKind | None:
    """Say whether a module is a linear layer that can be a head.

    Args:
        module: any module.

    Returns:
        "linear" where the class says where the matrix is: torch's Linear and its subclasses with the same forward,
        transformers' Conv1D, Keras' Dense, PyTorch Geometric's Linear; "conv1x1" for a convolution with kernel 1,
        stride 1, no padding and one group; "probed" for a layer of another class, or with a forward of its own, that
        holds a matrix and may be linear; None for all else.

    Example:
        >>> linear_kind(nn.Conv2d(8, 3, kernel_size=1))
        'conv1x1'
        >>> linear_kind(nn.ReLU()) is None
        True
    """
    if isinstance(module, _POINTWISE):
        return "conv1x1" if _is_pointwise(module) and module.weight.is_floating_point() else None
    matrix = _matrix(module)
    if matrix is not None and matrix.is_floating_point():
        return "linear"
    return "probed" if _may_be_linear(module) else None


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a model that may be linear by dotted name, in the order they were registered.

    Raises:
        HeadError: a lazy layer has no weights yet; running it here would create them.
    """
    named = {
        name: module for name, module in named_layers(model).items() if not isinstance(module, torch.jit.ScriptModule)
    }
    once: dict[int, str] = {}
    for name, module in named.items():
        lazy = [parameter for parameter in module.parameters(recurse=False) if is_lazy(parameter)]
        if lazy:
            raise HeadError(
                f"layer {name!r} is lazy and has no weights yet; run the model once on a batch before measuring"
            )
        once.setdefault(id(module), name)
    return {name: named[name] for name in once.values() if linear_kind(named[name]) is not None}


def weight_and_bias(module: nn.Module, taken: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return W (C, p) and b (C,) or None of a linear layer, detached, sharing memory where possible.

    Args:
        module: the layer.
        taken: what it is given, (..., p), features last; its width, type and device are those of the unit vectors.
    """
    layer: Any = module
    matrix = _matrix(module)
    own = computes_its_own(module)
    if own or linear_kind(module) in (None, "probed"):
        try:
            weight, bias, linear = _probed(module, taken)
        except HeadError:
            if not own:
                raise
            linear = False
        # A layer that ends in a softmax of its own, or cannot be asked, keeps a matrix all the same; whether it
        # multiplies by that is checked on the data.
        if linear or not own:
            return weight, bias
    weight = _gathered((layer.weight if matrix is None else matrix).detach())
    bias = getattr(layer, "bias", None)
    bias = None if bias is None else _gathered(getattr(bias, "value", bias).detach())
    return (weight.T if _is_transposed(module) else weight).flatten(1), bias


def channels_last(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return the input or output of a linear layer with its features on the last axis."""
    return tensor.movedim(1, -1) if linear_kind(module) == "conv1x1" else tensor


def channels_back(module: nn.Module, tensor: Tensor) -> Tensor:
    """Undo `channels_last`."""
    return tensor.movedim(-1, 1) if linear_kind(module) == "conv1x1" else tensor


def _probed(module: nn.Module, taken: Tensor) -> tuple[Tensor, Tensor | None, bool]:
    """What a layer gives for 0 and for the unit vectors, and whether it gives their sum for the sum of them.

    Its `forward` is asked, so that no hook hears it, and in isolation: the question may come within a training's pass.
    """
    width = taken.shape[-1]
    units = torch.eye(width, dtype=taken.dtype, device=taken.device)
    asked = torch.cat([torch.zeros_like(units[:1]), units, torch.ones_like(units[:1])])
    if isinstance(module, nn.modules.conv._ConvNd):
        # Maps of one place: the channels stand second.
        asked = asked.reshape(width + 2, width, *[1] * max(taken.ndim - 2, len(module.kernel_size)))
    else:
        asked = asked.reshape(*[1] * (taken.ndim - 2), width + 2, width)
    try:
        with isolated(module):
            told = module.forward(asked)
    except Exception as error:  # a layer of any library, on inputs that it may not expect
        raise HeadError(
            f"{named_kind(module)} cannot be asked for its matrix ({type(error).__name__}: {error}); expected a "
            "linear layer as head, or (W, b)"
        ) from error
    told = channels_last(module, told) if isinstance(told, Tensor) and told.ndim == asked.ndim else told
    if not isinstance(told, Tensor) or told.shape[:-1] != channels_last(module, asked).shape[:-1]:
        raise HeadError(f"{named_kind(module)} does not give one row for each row; expected a linear layer as head")
    rows = told.detach().reshape(width + 2, -1)
    weight, bias = (rows[1:-1] - rows[0]).T.contiguous(), rows[0].clone()
    rest = (rows[-1] - bias - weight.sum(1)).abs()
    rounding = 16 * torch.finfo(rows.dtype).eps * (weight.abs().sum(1) + bias.abs() * width)
    return weight, bias, bool((rest <= rounding).all())


def _gathered(tensor: Any) -> Tensor:
    # Sharded weights (FSDP2, tensor parallelism) are DTensors; arithmetic below needs the whole matrix.
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole


def _matrix(module: nn.Module) -> Tensor | None:
    """The matrix of a layer whose class says where it is, as the layer keeps it."""
    layer: Any = module
    if is_keras(module) and type(module).__name__ == "Dense" and getattr(module, "built", False):
        kernel = getattr(layer.kernel, "value", layer.kernel)
        return kernel if isinstance(kernel, Tensor) else None
    weight = getattr(module, "weight", None)
    known = isinstance(module, nn.Linear) and not computes_its_own(module)
    known = known or is_conv1d(module) or _is_geometric(module)
    # Not asked for two axes: between passes FSDP holds the matrix flattened and in parts.
    return weight if known and isinstance(weight, Tensor) else None


def _is_geometric(module: nn.Module) -> bool:
    return type(module).__name__ == "Linear" and type(module).__module__.startswith("torch_geometric.")


def _is_transposed(module: nn.Module) -> bool:
    return is_conv1d(module) or is_keras(module)


_POINTWISE = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

_NOT_LINEAR = (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase, nn.Bilinear, nn.MultiheadAttention)
"""Layers of torch that hold a matrix and are not linear in their input."""


def _may_be_linear(module: nn.Module) -> bool:
    if isinstance(module, (*_NOT_LINEAR, nn.modules.conv._ConvNd, torch.jit.ScriptModule)):
        return False
    if isinstance(module, (nn.ParameterDict, nn.ParameterList)) or is_keras(module):
        return False
    if isinstance(module, nn.Linear):
        return True
    # Adapters hold layers; they are asked for by name, where the search finds what is inside them.
    leaf = all(name == "parametrizations" for name, _ in module.named_children())
    return leaf and any(part.ndim == 2 and part.is_floating_point() for part in module.parameters(recurse=False))


def _free_name(name: str, taken: dict[str, nn.Module]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}@{number}"
    return free


def _is_pointwise(module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> bool:
    # "same" and "valid" add nothing around a kernel of 1.
    padded = not isinstance(module.padding, str) and any(module.padding)
    return module.groups == 1 and not padded and all(k == 1 for k in (*module.kernel_size, *module.stride))
