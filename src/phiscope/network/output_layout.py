"""How a head's output becomes the model's output: which rows, in which order, through which last function.

A head gives (n, C), (n, T, C) or (n, C, H, W); the model may return that as it is, flattened, with axes
moved, at one position per sample, averaged over positions, after a softmax, inside a tuple. The relation is
found by comparing values, on outputs that were replaced by random numbers, so that a coincidence (a head
that starts at zero, say) cannot pass for it. Whether the features give the output as well is judged within the rounding
of the precision that the model runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import product
from typing import Any, Literal

import torch
from torch import Tensor

Arrangement = Literal["rows", "swapped", "picked", "averaged"]
Reading = Literal["flat", "channels"]
Ending = Literal["none", "softmax", "log_softmax", "sigmoid"]

_READINGS: tuple[Reading, ...] = ("flat", "channels")
ENDINGS: tuple[Ending, ...] = ("none", "softmax", "log_softmax", "sigmoid")
"""Functions that a model, or the layer itself, may apply to what the head gives."""

_ENDINGS: dict[Ending, Callable[[Tensor], Tensor]] = {
    "none": lambda rows: rows,
    "softmax": lambda rows: torch.softmax(rows, dim=-1),
    "log_softmax": lambda rows: torch.log_softmax(rows, dim=-1),
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """From the head's calls to rows, and from the model's output to the same rows.

    Attributes:
        path: where in the model's output the tensor is, for example ("logits",); () for a bare tensor.
        calls: which call of the head counts: an index from the end (-1 is the last), "cat" when the calls
            follow each other as samples, "stack" when each gives one position, "mean" when they are averaged.
        arrangement: rows = every position is a row; swapped = the same with the first two axes exchanged;
            picked = one position of each sample; averaged = the mean over positions.
        reading: flat = classes are the output's last axis; channels = its second.
        ending: what the model applies to the head's output.
    """

    path: tuple[str | int, ...]
    calls: int | Literal["cat", "stack", "mean"]
    arrangement: Arrangement
    reading: Reading
    ending: Ending

    def gathered(self, calls: list[Tensor]) -> Tensor:
        """Join the calls of one forward pass; each tensor has its features on the last axis."""
        if isinstance(self.calls, int):
            return calls[self.calls]
        if self.calls == "cat":
            return torch.cat(calls)
        if self.calls == "stack":
            return torch.stack(calls, 1)
        return torch.stack(calls).mean(0)

    def rows(self, tensor: Tensor, positions: Tensor | None = None) -> Tensor:
        """Return (R, last axis), in the order of the model's output.

        Args:
            tensor: features or head outputs, features last, any number of leading axes.
            positions: (n,) the position of each sample; needed for "picked" only.
        """
        if self.arrangement == "picked":
            flat = tensor.flatten(1, -2)
            if positions is None:
                raise ValueError("positions are needed to pick one of them")
            return flat[torch.arange(len(flat), device=flat.device), positions.to(flat.device)]
        return _arranged(tensor, self.arrangement)

    def leading_shape(self, tensor: Tensor, output: Tensor) -> tuple[int, ...]:
        """Return the shape of the rows before flattening, for example (n, T), whose product is R."""
        if self.arrangement in ("picked", "averaged"):
            return (tensor.shape[0],)
        width = tensor.shape[-1]
        if self.reading == "flat" and output.ndim > 2 and output.shape[-1] == width:
            # (n * T, C) inside, (n, T, C) outside: targets follow the outside.
            return tuple(output.shape[:-1])
        shape = tensor.shape[:-1]
        return (shape[1], shape[0], *shape[2:]) if self.arrangement == "swapped" else tuple(shape)

    def ended(self, rows: Tensor) -> Tensor:
        """Apply what the model applies to the head's output, to rows (R, C)."""
        return _ENDINGS[self.ending](rows)

    def read(self, output: Tensor, width: int) -> Tensor | None:
        """Return the model's output as rows (R, C), or None when its shape does not allow it."""
        return _read(output, width, self.reading)

    def __str__(self) -> str:
        where = spelled(self.path)
        how = {
            "rows": "as it is",
            "swapped": "with the first two axes exchanged",
            "picked": "at one position of each sample",
            "averaged": "averaged over positions",
        }[self.arrangement]
        if self.calls != -1:
            calls = {
                "cat": "all calls joined",
                "stack": "all calls, a position each",
                "mean": "the mean of all calls",
            }
            how = f"{calls.get(str(self.calls), f'call {self.calls} from the end')}, {how}"
        return f"{where}: {how}" + ("" if self.ending == "none" else f", then {self.ending}")


def spelled(path: tuple[str | int, ...]) -> str:
    """A place of the model's output in words."""
    return "the output" if not path else "output" + "".join(f"[{part!r}]" for part in path)


def relate(calls: list[Tensor], output: Tensor, path: tuple[str | int, ...]) -> Layout | None:
    """Find how the outputs of one layer's calls become one tensor of the model's output.

    Args:
        calls: the layer's output at each call, features last.
        output: one floating tensor of the model's output.
        path: where that tensor is.

    Returns:
        The layout, or None when the output is something else.
    """
    choices: list[int | Literal["cat", "stack", "mean"]] = [-1 - index for index in range(len(calls))]
    if len(calls) > 1 and len({call.shape[1:] for call in calls}) == 1:
        choices += ["cat"]
        same = len({call.shape for call in calls}) == 1
        choices += ["stack"] if same and calls[0].ndim == 2 else []
        choices += ["mean"] if same else []
    arrangements: tuple[Arrangement, ...] = ("rows", "swapped", "averaged", "picked")
    for choice, reading, arrangement in product(choices, _READINGS, arrangements):
        layout = Layout(path=path, calls=choice, arrangement=arrangement, reading=reading, ending="none")
        found = _with_ending(layout, calls, output)
        if found is not None:
            return found
    return None


def keeps_order(told: Tensor, output: Tensor) -> bool:
    """Say whether a tensor of the model's output is an order-preserving function of a layer's output (..., C).

    Within each row or within each column, as logits divided by a temperature, capped, scaled or normalized are, while a
    ReLU makes many values equal.
    """
    rows = told.reshape(-1, told.shape[-1])
    for reading in _READINGS:
        read = _read(output, rows.shape[1], reading)
        if read is not None and read.shape == rows.shape and (_ordered(rows, read, 1) or _ordered(rows, read, 0)):
            return True
    return False


def _ordered(rows: Tensor, output: Tensor, axis: int) -> bool:
    if rows.shape[axis] < 2:
        return False
    order = rows.argsort(axis)
    steps = output.gather(axis, order).float().diff(dim=axis)
    rises = rows.gather(axis, order).float().diff(dim=axis) > 0
    return bool((steps >= 0).all()) and float((steps[rises] > 0).float().mean()) > 0.9


def matching_positions(tensor: Tensor, output_rows: Tensor, ended: Callable[[Tensor], Tensor]) -> Tensor:
    """Say at which positions (n, P) of a head's output (n, ..., C) the model's output rows (n, C) are found."""
    flat = ended(tensor.flatten(1, -2))
    return _near(flat, output_rows.unsqueeze(1)).all(-1)


def tensors_in(output: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Tensor]]:
    """List every floating tensor of a model's output with its place, in order; also single numbers.

    Looks into tuples, lists, mappings and dataclasses; other objects (caches) are passed over, and so are nested and
    sparse tensors, which have no rows.
    """
    if isinstance(output, Tensor):
        if output.is_floating_point() and output.layout == torch.strided and not output.is_nested:
            yield path, output
        return
    parts: list[tuple[str | int, Any]] = []
    if isinstance(output, Mapping):
        parts = list(output.items())
    elif isinstance(output, (tuple, list)):
        parts = list(enumerate(output))
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [(entry.name, getattr(output, entry.name)) for entry in fields(output)]
    for name, part in parts:
        if len(path) < 4:
            yield from tensors_in(part, (*path, name))


def tensor_at(output: Any, path: tuple[str | int, ...]) -> Tensor | None:
    """Return the tensor at a place of the model's output, None when it is not there."""
    return next((tensor for place, tensor in tensors_in(output) if place == path), None)


def _with_ending(layout: Layout, calls: list[Tensor], output: Tensor) -> Layout | None:
    tensor = layout.gathered(calls)
    width = tensor.shape[-1]
    rows = layout.read(output, width)
    if rows is None or (layout.arrangement != "rows" and tensor.ndim < 3):
        return None
    picked = layout.arrangement == "picked"
    if picked and len(rows) != tensor.shape[0]:
        return None
    arranged = tensor.flatten(1, -2) if picked else _arranged(tensor, layout.arrangement)
    if not picked and arranged.shape != rows.shape:
        return None
    for ending, apply in _ENDINGS.items():
        if width == 1 and ending in ("softmax", "log_softmax"):
            continue
        ended = apply(arranged)
        # Most often they are the same bits, which is seen much sooner; logits of a vocabulary are many.
        agrees = not picked and same_bits(ended, rows)
        if not agrees:
            near = _near(ended, rows.unsqueeze(1) if picked else rows).all(-1)
            agrees = bool(near.any(-1).all() if picked else near.all())
        if agrees:
            return Layout(
                path=layout.path,
                calls=layout.calls,
                arrangement=layout.arrangement,
                reading=layout.reading,
                ending=ending,
            )
    return None


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one dtype are equal number by number; NaN is equal to nothing."""
    return one.dtype == other.dtype and one.device == other.device and torch.equal(one, other)


def _arranged(tensor: Tensor, arrangement: Arrangement) -> Tensor:
    if arrangement == "averaged":
        return tensor.flatten(1, -2).mean(1)
    if arrangement == "swapped":
        tensor = tensor.transpose(0, 1)
    return tensor.reshape(-1, tensor.shape[-1])


def _read(output: Tensor, width: int, reading: Reading) -> Tensor | None:
    if width == 0 or output.numel() == 0 or output.numel() % width:
        return None
    if reading == "flat":
        return output.reshape(-1, width)
    if output.ndim < 2 or output.shape[1] % width:
        return None
    # (n, C, H, W), and the same flattened to (n, C * H * W).
    return output.reshape(output.shape[0], width, -1).movedim(1, -1).reshape(-1, width)


def _near(a: Tensor, b: Tensor) -> Tensor:
    coarse = max(torch.finfo(a.dtype).eps, torch.finfo(b.dtype).eps)
    # The same numbers went through at most a softmax or a mean: a few roundings of the coarser dtype.
    dtype = torch.promote_types(torch.promote_types(a.dtype, b.dtype), torch.float32)
    a, b = a.to(dtype), b.to(dtype)
    largest = float(b.abs().nan_to_num(0.0, 0.0).max()) if b.numel() else 0.0
    return torch.isclose(a, b, rtol=16 * coarse, atol=16 * coarse * min(largest, 1.0), equal_nan=True)


def beyond_rounding(
    features: Tensor,
    head: tuple[Tensor, Tensor | None],
    layout: Layout,
    expected: Tensor,
    *,
    precision: torch.dtype,
) -> Tensor:
    """How much the head of these features differs from the model's output beyond what rounding explains.

    Args:
        features: (R, p), in the precision the model ran in.
        head: W (C, p) and b (C,) or None.
        layout: how head outputs become model outputs; its ending is applied.
        expected: the model's output as rows (R, C).
        precision: dtype in which the head answered.

    Returns:
        (R, C); at most 0 where the two agree, NaN where either is not finite.
    """
    weight, bias = head
    dtype = torch.promote_types(torch.promote_types(features.dtype, weight.dtype), torch.float32)
    own, outside = _epsilon(features.dtype, precision), 4 * _epsilon(expected.dtype)
    features, weight = features.to(dtype), weight.to(dtype)
    linear = torch.nn.functional.linear(features, weight, None if bias is None else bias.to(dtype))
    size = _lengths(features)[:, None] * _lengths(weight).max()
    size = size + (0.0 if bias is None else bias.abs().max().to(dtype))
    # Sums of p products in random order, in float32 also for half precision; then the rounding of the factors,
    # which does not grow with p; then the rounding of the result.
    bound = 8 * features.shape[-1] ** 0.5 * _epsilon(dtype) * size
    bound = bound + 4 * _factor_rounding(features, layout, own) * size + 4 * own * linear.abs()
    if layout.ending != "none":
        # A softmax moves by at most twice what its logits move by.
        bound = 2 * bound.amax(-1, keepdim=True) + outside
    expected = expected.to(dtype)
    excess: Tensor = (layout.ended(linear) - expected).abs() - bound - outside * expected.abs()
    return excess


def _lengths(rows: Tensor) -> Tensor:
    """Norms of rows whose squares may leave the range of the dtype."""
    largest = rows.abs().amax().clamp_min(torch.finfo(rows.dtype).tiny) if rows.numel() else 1.0
    lengths: Tensor = (rows / largest).norm(dim=-1) * largest
    return lengths


def _epsilon(*dtypes: torch.dtype) -> float:
    return max(float(torch.finfo(dtype).eps) for dtype in dtypes)


def _factor_rounding(features: Tensor, layout: Layout, own: float) -> float:
    """Relative rounding of weights and features before they are multiplied."""
    rounding = own if own > _epsilon(features.dtype) else 0.0
    if layout.arrangement == "averaged" or layout.calls == "mean":
        rounding = max(rounding, own)
    if torch.get_float32_matmul_precision() == "medium":
        return max(rounding, 2.0**-8)
    # CUDA convolves float32 in TF32 (11 bits) unless told otherwise, and multiplies so on request.
    coarse = features.device.type != "cpu" or torch.get_float32_matmul_precision() == "high"
    return max(rounding, 2.0**-11 if coarse else 0.0)
