"""Does the head of the features give the model's output, within the rounding of its precision?"""

from __future__ import annotations

import torch
from torch import Tensor

from phiscope.split.layout import Layout


def beyond_rounding(features: Tensor, weight: Tensor, bias: Tensor | None, layout: Layout, expected: Tensor) -> Tensor:
    """How much the head of these features differs from the model's output beyond what rounding explains.

    Args:
        features: (R, p), in the precision the model ran in.
        weight: W (C, p).
        bias: b (C,) or None.
        layout: how head outputs become model outputs; its ending is applied.
        expected: the model's output as rows (R, C).

    Returns:
        (R, C); at most 0 where the two agree, NaN where either is not finite.
    """
    dtype = torch.promote_types(torch.promote_types(features.dtype, weight.dtype), torch.float32)
    own = float(torch.finfo(features.dtype).eps)
    # CUDA multiplies float32 in TF32 (11 bits) unless told otherwise; half precision accumulates in float32.
    product = float(torch.finfo(dtype).eps) if features.device.type == "cpu" else 2.0**-10
    if layout.arrangement == "averaged" or layout.calls == "mean":
        product = max(product, own)
    features, weight = features.to(dtype), weight.to(dtype)
    linear = torch.nn.functional.linear(features, weight, None if bias is None else bias.to(dtype))
    size = features.norm(dim=-1, keepdim=True) * weight.norm(dim=-1).max()
    size = size + (0.0 if bias is None else bias.abs().max().to(dtype))
    bound = 8 * features.shape[-1] ** 0.5 * product * size + 4 * own * linear.abs()
    outside = 4 * float(torch.finfo(expected.dtype).eps)
    if layout.ending != "none":
        # A softmax moves by at most twice what its logits move by.
        bound = 2 * bound.amax(-1, keepdim=True) + outside
    expected = expected.to(dtype)
    excess: Tensor = (layout.ended(linear) - expected).abs() - bound - outside * expected.abs()
    return excess
