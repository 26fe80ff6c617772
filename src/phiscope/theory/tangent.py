"""The empirical tangent kernel of a network on a small probe, and how far parameters have moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phiscope.errors import EmptyDataError, InputError, NonFiniteError, ShapeError, first_line, named_kind
from phiscope.inputs.arrays import as_array, as_count
from phiscope.metrics.movement import kernel_distance, squared_parameter_norm
from phiscope.network.batch import Batch, BatchReader
from phiscope.network.isolation import isolated, placement, unwrapped
from phiscope.network.output_layout import tensors_in
from phiscope.typing import FloatArray

JACOBIAN_BYTES = 2**28
"""One block of Jacobians takes about so many bytes; two are held at a time."""

Jacobian = Callable[[int, int], Tensor]
"""From the first to the last sample (exclusive) to their Jacobians, (b, C, number of parameters) in float64."""


def tangent_kernel(model: nn.Module, inputs: Any, *, block: int | None = None) -> FloatArray:
    """The empirical tangent kernel, traced over outputs: K(x, x') = sum_c grad f_c(x) . grad f_c(x').

    Gradients are with respect to every parameter with ``requires_grad``, in eval mode. The trace is a sum over the C
    outputs and not their mean. At infinite width all outputs have one kernel and the trace is C times that one; at
    finite width they differ and also act on each other, and the kernel that gradient descent follows is
    `phiscope.theory.tangent.full_tangent_kernel`. The model, its mode, its buffers and every random state are as
    before.

    The cost is one Jacobian a sample while all fit into 256 MiB (n C P float64 numbers), and grows with the
    square of the number of blocks beyond that: this is for probes of some hundred samples.

    Args:
        model: any module that `torch.func` can differentiate sample by sample; compile wrappers are looked through.
        inputs: x of n samples as the model takes it: a tensor or array (n, ...), a tuple of them, or a
            mapping of keyword inputs.
        block: samples a block; None fits 256 MiB.

    Returns:
        Shape (n, n), float64, positive semidefinite; `phiscope.diagonalize_kernel` takes it.

    Raises:
        InputError: no trainable parameter, no floating output, a model that `torch.func` cannot differentiate or that
            mixes the samples of a batch, or inputs that it does not take.
        EmptyDataError: no sample.
        NonFiniteError: NaN or Inf in a gradient.

    Source: Jacot et al. 2018, arXiv:1806.07572; as a comparator Fort et al. 2020, arXiv:2010.15110.

    Example:
        >>> tangent_kernel(nn.Linear(2, 3, bias=False), torch.eye(2)).tolist()
        [[3.0, 0.0], [0.0, 3.0]]
    """
    return _kernel(model, inputs, block, "icp,jcp->ij")


def full_tangent_kernel(model: nn.Module, inputs: Any, *, block: int | None = None) -> FloatArray:
    """The empirical tangent kernel between all outputs: K(x, c; x', c') = grad f_c(x) . grad f_c'(x').

    Args:
        model: see `tangent_kernel`.
        inputs: see `tangent_kernel`.
        block: see `tangent_kernel`.

    Returns:
        Shape (n, C, n, C), float64; as a matrix (n C, n C) it is positive semidefinite.

    Raises:
        InputError: see `tangent_kernel`.

    Source: Jacot et al. 2018, arXiv:1806.07572.

    Example:
        >>> full_tangent_kernel(nn.Linear(2, 2, bias=False), torch.ones(1, 2))[0, :, 0].tolist()
        [[2.0, 0.0], [0.0, 2.0]]
    """
    return _kernel(model, inputs, block, "icp,jdp->icjd")


def _kernel(model: nn.Module, inputs: Any, block: int | None, product: str) -> FloatArray:
    block = None if block is None else as_count(block, name="block")
    model = unwrapped(model)
    _check_apart(model)
    device, dtype = placement(model)
    batch = BatchReader(model=model, device=device, dtype=dtype).inputs(inputs)
    if batch.size == 0:
        raise EmptyDataError("the inputs hold no sample, expected x of shape (n, ...) with n >= 1")
    trained = {name: part.detach() for name, part in model.named_parameters() if part.requires_grad}
    if not trained:
        raise InputError("the model has no parameter with requires_grad, so it has no tangent kernel")
    with isolated(model), _plain_layers():
        width = _width(model, batch)
        size = block or max(1, JACOBIAN_BYTES // (8 * width * sum(part.numel() for part in trained.values())))
        return _blockwise(_jacobian(model, trained, batch), batch.size, size, product)


def _blockwise(jacobian: Jacobian, n: int, size: int, product: str) -> FloatArray:
    """Products of Jacobians block by block; each pair of blocks once, for the kernel is symmetric."""
    starts = range(0, n, size)
    rows: list[list[Tensor]] = [[] for _ in starts]
    for i, start in enumerate(starts):
        here = jacobian(start, start + size)
        if not bool(torch.isfinite(here).all()):
            raise NonFiniteError(
                f"gradients hold NaN or Inf for samples {start} to {min(start + size, n) - 1}, expected finite "
                "numbers; the training probably diverged",
                where="gradients",
            )
        for j in range(i):
            other = torch.einsum(product, here, jacobian(starts[j], starts[j] + size))
            rows[i].append(other)
            rows[j].append(other.T if other.ndim == 2 else other.permute(2, 3, 0, 1))
        rows[i].append(torch.einsum(product, here, here))
    return np.asarray(torch.cat([torch.cat(row, dim=row[0].ndim // 2) for row in rows]).cpu().numpy())


def _first_output(output: Any) -> Tensor:
    for _, tensor in tensors_in(output):
        return tensor
    raise InputError(f"the model returns {named_kind(output)} without a floating tensor, expected outputs f(x)")


def _check_apart(model: nn.Module) -> None:
    """Refuse layers that mix samples also in eval mode: a sample's gradient would hang on which others come with it."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise InputError(
                f"{name or 'the model'!r} is a {type(module).__name__} without running statistics, which mixes the "
                "samples of a batch also in eval mode; expected a model that answers each sample on its own, as with "
                "track_running_stats=True"
            )


def _width(model: nn.Module, batch: Batch) -> int:
    """Number of outputs of one sample."""
    args, kwargs = _cut(batch, 0, 1)
    try:
        output = _first_output(model(*args, **kwargs))
    except (TypeError, RuntimeError, ValueError) as error:
        several = "; a tuple is several inputs of the model: pass inputs alone, without targets" * (len(args) > 1)
        raise InputError(
            f"{type(model).__name__} does not take one sample of these inputs ({first_line(error)}){several}"
        ) from error
    if output.ndim == 0 or output.shape[0] != 1 or output.numel() == 0:
        raise InputError(
            f"one sample in gave an output of shape {tuple(output.shape)}, expected the sample on the first axis"
        )
    return output.numel()


def _jacobian(model: nn.Module, trained: Mapping[str, Tensor], batch: Batch) -> Jacobian:
    def outputs(parameters: dict[str, Tensor], args: Any, kwargs: Any) -> Tensor:
        single = _each(args, lambda part: part.unsqueeze(0)), _each(kwargs, lambda part: part.unsqueeze(0))
        return _first_output(torch.func.functional_call(model, parameters, *single)).flatten()

    def jacobian(start: int, stop: int) -> Tensor:
        args, kwargs = _cut(batch, start, stop)
        each = torch.func.vmap(torch.func.jacrev(outputs), in_dims=(None, 0, 0))
        try:
            found = each(dict(trained), args, kwargs)
        # torch.func meets data-dependent branches and in-place writes with RuntimeError, odd arguments with ValueError.
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"torch.func cannot differentiate {type(model).__name__} sample by sample "
                f"({first_line(error)}); expected a model without recurrent layers, data-dependent "
                "branches and in-place writes"
            ) from error
        return torch.cat([part.flatten(2).double() for part in found.values()], dim=2)

    return jacobian


def _cut(batch: Batch, start: int, stop: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Samples start to stop of a batch."""
    args, kwargs = (_each(part, lambda value: value[start:stop]) for part in (batch.args, dict(batch.kwargs)))
    return args, kwargs


def _each(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nest of tuples, lists and mappings with every tensor changed."""
    if isinstance(part, Tensor):
        return change(part)
    if isinstance(part, Mapping):
        return {key: _each(value, change) for key, value in part.items()}
    return type(part)(_each(value, change) for value in part) if isinstance(part, (tuple, list)) else part


@contextmanager
def _plain_layers() -> Iterator[None]:
    """Layers by their formula: fused forms have no derivative under torch.func, or skip the parameters."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.nn.attention.sdpa_kernel([torch.nn.attention.SDPBackend.MATH]):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def tangent_kernel_distance(first: Any, second: Any) -> float:
    """1 - <K_a, K_b> / (norm K_a norm K_b) of two tangent kernels on the same samples.

    Args:
        first: shape (n, n), or (n, C, n, C).
        second: the same shape, the same samples in the same order.

    Returns:
        0 (one is a multiple of the other) to 1.

    Raises:
        ShapeError: the shapes differ.
        InputError: a kernel that is zero.
        NonFiniteError: NaN or Inf.

    Source: Fort et al. 2020, arXiv:2010.15110, section 3.

    Example:
        >>> tangent_kernel_distance([[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 3.0]])
        1.0
    """
    a, b = (as_array(part, name="kernel").astype(np.float64) for part in (first, second))
    if a.shape != b.shape:
        raise ShapeError(f"the kernels have shapes {a.shape} and {b.shape}; expected the same samples and outputs")
    for kernel in (a, b):
        if not np.isfinite(kernel).all():
            raise NonFiniteError("a kernel holds NaN or Inf, expected finite numbers", where="kernel")
        if not kernel.any():
            raise InputError("a kernel is zero everywhere and has no direction to compare")
    return kernel_distance(a, b)


def parameter_norm(model: nn.Module) -> float:
    """Sum of the squares of all parameters with ``requires_grad``; shared ones count once.

    Source: comparator in arXiv:2410.04264 v3.

    Example:
        >>> parameter_norm(nn.LayerNorm(5))  # gains of 1, biases of 0
        5.0
    """
    return squared_parameter_norm(_trained(unwrapped(model)).values())


def parameter_distance(model: nn.Module, initial: nn.Module | Mapping[str, Any]) -> float:
    """Euclidean distance of all parameters with ``requires_grad`` from an initial state.

    Args:
        model: the network now.
        initial: the network at initialization, or its ``state_dict()`` (a copy made then), or parameters by name.

    Returns:
        sqrt(sum (theta_t - theta_0)^2), at least 0.

    Raises:
        ShapeError: a parameter is missing in the initial state or has another shape.

    Source: comparator in arXiv:2410.04264 v3.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> parameter_distance(layer, layer)
        0.0
    """
    now = _trained(unwrapped(model))
    before = dict(unwrapped(initial).named_parameters()) if isinstance(initial, nn.Module) else initial
    moved = []
    for name, part in now.items():
        if name not in before:
            raise ShapeError(f"the initial state has no parameter {name!r}; expected the state of the same model")
        start = as_array(before[name], name=name).astype(np.float64)
        if start.shape != part.shape:
            raise ShapeError(f"{name!r} has shape {part.shape} now and {start.shape} in the initial state")
        moved.append(part - start)
    return float(np.sqrt(squared_parameter_norm(moved)))


def _trained(model: nn.Module) -> dict[str, FloatArray]:
    named = model.named_parameters()
    return {name: as_array(part, name=name).astype(np.float64) for name, part in named if part.requires_grad}
