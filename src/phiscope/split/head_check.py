"""Does the head of the features give the model's output, within the rounding of its precision?"""

from __future__ import annotations

import torch
from torch import Tensor

from phiscope.split.layout import Layout


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
    size = features.norm(dim=-1, keepdim=True) * weight.norm(dim=-1).max()
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
