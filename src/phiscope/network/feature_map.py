"""A network as forward feature map and head: f(x) = W phi(x) + b."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from phiscope.errors import HeadError, InputError, NonFiniteError
from phiscope.inputs.arrays import check_reach
from phiscope.inputs.batches import batches_of, peeked
from phiscope.inputs.settings import device_of
from phiscope.network.batch import Batch, BatchReader, with_targets
from phiscope.network.head import FoundHead, Head, find_head, not_linear
from phiscope.network.hooks import Caller, LayerCall, listening, replacing, stand_ins
from phiscope.network.isolation import isolated, placement, unwrapped
from phiscope.network.linear_layers import linear_kind
from phiscope.network.output_layout import ENDINGS, beyond_rounding, matching_positions, tensor_at
from phiscope.network.rows import FeatureMap, Rows, RowsOf, at_batch, check_finite

_TRIES = 16
"""So often random outputs are tried to tell positions apart; numbers of eight bits take three or four."""

_CHECKED_NUMBERS = 2**22
"""So many outputs are compared at a time; of a batch with more, after the first, on rows that are spread over it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadFeatures(FeatureMap):
    """The forward feature map phi of a network whose head is a layer.

    Attributes:
        found: the head and its place.
    """

    found: FoundHead

    @property
    def name(self) -> str:
        """Name of the head."""
        return self.found.name

    @property
    def module(self) -> nn.Module:
        """The head."""
        return self.found.module

    def described(self) -> dict[str, str]:
        """Model, head, and how its output becomes the model's."""
        told = {"model": type(self.model).__name__, "head": self.found.called, "layout": self.found.words()}
        return told | ({"not_read": ", ".join(self.found.unread)} if self.found.unread else {})

    def rows(self, batch: Batch, *, call: Caller | None = None, index: int | None = None) -> Rows:
        """Run one batch and check that the head of its features is the model's output; see `FeatureMap.rows`."""
        call = call or self.caller()
        layout = self.found.layout
        layers = {self.found.name: self.found.module}
        with listening(layers, keep_features=True, keep_outputs=self.needs_outputs) as heard:
            answer = call(batch)
        calls = heard.get(self.found.name, [])
        output = self._output(calls, answer, index)
        positions = self._positions(batch, call, calls, output) if layout.arrangement == "picked" else None
        return self._rows(calls, output, positions, index)

    @property
    def needs_outputs(self) -> bool:
        """Whether rows are made from what the head returned, too."""
        return self.found.own or self.found.layout.arrangement == "picked"

    @contextmanager
    def listened(self, batch: Batch) -> Iterator[RowsOf]:
        """See `FeatureMap.listened`; not for a picked position, which takes a second pass to find."""
        with listening({self.name: self.module}, keep_features=True, keep_outputs=self.needs_outputs) as calls:
            yield lambda answer, index, checked: self.rows_of(
                calls.get(self.name, []), answer, index=index, checked=checked
            )

    def rows_of(self, calls: list[LayerCall], answer: Any, *, index: int | None, checked: bool) -> Rows:
        """Features of a pass that ran outside, from the head's calls in it; not for a picked position.

        Args:
            calls: of the head, with their features.
            answer: the model's output.
            index: number of the batch, named in errors.
            checked: whether to check features and head as `rows` does.

        Raises:
            NonFiniteError: a feature is NaN or Inf.
            HeadError: the head of these features is not the model's output.
        """
        return self._rows(calls, self._output(calls, answer, index), None, index, checked=checked)

    def _output(self, calls: list[LayerCall], answer: Any, index: int | None) -> Tensor:
        layout = self.found.layout
        own = calls[-1].output if calls and self.found.own else None
        if own is not None and layout.arrangement == "swapped":
            own = own.transpose(0, 1)
        output = own if self.found.own else tensor_at(answer, layout.path)
        if output is None or len(calls) < (-layout.calls if isinstance(layout.calls, int) else 1):
            if not any(module is self.module for module in self.model.modules()):
                raise HeadError(
                    f"head {self.found.name!r} is no longer a layer of the network, which was changed after the head "
                    "was found; measure the network anew, in a training with a new observer and a run of its own"
                )
            raise HeadError(
                f"head {self.found.name!r} was found on the first batch, but the forward pass {at_batch(index)} took "
                "another way"
            )
        return output.detach()

    def _rows(
        self,
        calls: list[LayerCall],
        output: Tensor,
        positions: Tensor | None,
        index: int | None,
        *,
        checked: bool = True,
    ) -> Rows:
        layout = self.found.layout
        weight, bias = calls[-1].weight, calls[-1].bias
        if weight is None:
            raise ValueError("the calls were noted without features")
        is_conv = linear_kind(self.module) == "conv1x1"
        features = layout.gathered([one.features for one in calls if one.features is not None])
        rows = Rows(
            features=layout.rows(features, positions),
            leading=layout.leading_shape(_as_wide(features, calls[-1]), output),
            weight=weight.detach(),
            bias=None if bias is None else bias.detach(),
            precision=calls[-1].precision,
            channels="first" if layout.reading == "channels" or (self.found.own and is_conv) else "last",
        )
        if checked:
            check_finite(rows.features, index)
            self._check(rows, weight, output, index)
        return rows

    def _positions(self, batch: Batch, call: Caller, calls: list[LayerCall], output: Tensor) -> Tensor:
        layout = self.found.layout
        inner = layout.gathered([one.output for one in calls if one.output is not None])
        may_be = self._alike(inner, output)
        # Positions with equal outputs (padding, a head that starts at zero, one output in half precision) cannot be
        # told apart by value; random outputs in their place can, if need be several times.
        for seed in range(_TRIES + 1):
            if bool((may_be.sum(-1) == 1).all()):
                return may_be.int().argmax(-1)
            if seed == _TRIES or not bool(may_be.any(-1).all()):
                break
            with replacing(self.found.module, seed=seed) as told:
                again = tensor_at(call(batch), layout.path)
            if again is None:
                break
            may_be = may_be & self._alike(layout.gathered(told), again)
        raise HeadError(
            f"the position that the model picks could not be found for head {self.found.name!r}; take features "
            "without a head by features=<a layer>"
        )

    def _alike(self, inner: Tensor, output: Tensor) -> Tensor:
        """Positions (n, P) of what the head returned that may be those in the model's output."""
        rows = self.found.layout.read(output, inner.shape[-1])
        if rows is None or len(rows) != len(inner):
            return torch.zeros((*inner.shape[:1], 1), dtype=torch.bool, device=inner.device)
        return matching_positions(inner, rows, self.found.layout.ended)

    def _check(self, rows: Rows, weight: Tensor, output: Tensor, index: int | None) -> None:
        layout = self.found.layout
        expected = layout.read(output, weight.shape[0])
        if expected is None or len(expected) != len(rows.features):
            raise HeadError(
                f"head {self.found.name!r} gives {len(rows.features)} rows {at_batch(index)}, which do not fit the "
                f"model's output of shape {tuple(output.shape)}"
            )
        step = max(1, _CHECKED_NUMBERS // weight.shape[0])
        for part in _checked_rows(len(expected), step, whole=not index, device=expected.device):
            excess = beyond_rounding(
                rows.features[part], (weight, rows.bias), layout, expected[part], precision=rows.precision
            )
            if not bool((excess <= 0).all()):
                _check_diverged(
                    {"the head's weights": weight, "the head's biases": rows.bias, "the outputs": output}, index
                )
                raise self._mismatch(float(excess.max()), index)

    def _mismatch(self, excess: float, index: int | None) -> HeadError:
        found = self.found
        off = f"(off by {excess:.3g} more than rounding explains)"
        if linear_kind(found.module) in (None, "probed") and not isinstance(found.module, nn.Linear):
            why = f": its output is not W x + b of its input {off}"
            return not_linear(found.name, found.module, found.candidates, why)
        return HeadError(
            f"head {found.name!r} applied to its input is not the {'layer' if found.own else 'model'}'s output "
            f"{at_batch(index)} {off}; the layer may be wrapped or changed by a hook, or not be linear; features "
            'without a head are measured by features=<a layer or "output">',
            candidates=found.candidates,
        )


class Split(NamedTuple):
    """A network taken apart; unpacks as ``feature_map, head``.

    Attributes:
        feature_map: phi, called as ``feature_map(x) -> (n, p)``.
        head: W and b, and how the layer was found.
    """

    feature_map: HeadFeatures
    head: Head


def split(
    model: nn.Module,
    data: Any,
    *,
    head: nn.Module | str | None = None,
    device: torch.device | str | None = None,
) -> Split:
    """Take a network apart into its forward feature map phi and its linear head: f(x) = W phi(x) + b.

    The first batch is run in eval mode. The head is the last linear layer whose output is the model's
    output, also through flatten, squeeze, moved axes, softmax, a mean over positions, one picked position, or
    inside a tuple, mapping or dataclass (`logits` comes first). The model, its hooks and every random state
    are as before.

    Args:
        model: any module; compile and data-parallel wrappers are looked through.
        data: one batch is read from it; anything `measure` takes. A generator loses that batch.
        head: None = search; or the layer, or its dotted name, which is then checked.
        device: where to run; None = where the parameters are.

    Returns:
        The two parts, to be unpacked as ``feature_map, head``.

    Raises:
        NoHeadError: no linear layer produces the model's output.
        AmbiguousHeadError: several do.
        EmptyDataError: data hold no batch.
        NonFiniteError: a feature is NaN or Inf.

    Source:
        arXiv:2410.04264v1, section 2 (phi is the input of the last linear layer).

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> feature_map, head = split(net, torch.ones(5, 4))
        >>> head.name, tuple(feature_map(torch.ones(5, 4)).shape)
        ('2', (5, 3))
    """
    model = unwrapped(model)
    where = device_of(device)
    with isolated(model, data=data, device=where):
        first, _ = peeked(batches_of(data))
        return split_on(model, first, head=head, device=where)


def split_on(
    model: nn.Module,
    raw: Any,
    *,
    head: nn.Module | str | None,
    device: torch.device | None,
    targets: Any = None,
) -> Split:
    """Take an unwrapped network apart on one raw batch; meant for the inside of `isolated`."""
    batch = batch_on(model, raw, device, targets)
    found = find_head(Caller(model, stand_ins(model, device)), batch, head)
    # Weights as the pass saw them: between passes FSDP holds them in parts.
    feature_map, rows = _first_rows(HeadFeatures(model=model, found=found, device=device), batch)
    return Split(feature_map=feature_map, head=_head_of(feature_map.found, rows))


def batch_on(model: nn.Module, raw: Any, device: torch.device | None, targets: Any) -> Batch:
    """Read one raw batch for a model; one on the device 'meta' is refused."""
    there, dtype = placement(model)
    if (device or there).type == "meta":
        raise InputError(
            "the model is on the device 'meta', where parameters have shapes and no numbers; load its weights, or "
            "call model.to_empty(device='cpu') and initialize it"
        )
    return next(with_targets(iter([raw]), BatchReader(model, device or there, dtype), targets))


def _first_rows(feature_map: HeadFeatures, batch: Batch) -> tuple[HeadFeatures, Rows]:
    """The features of the first batch; the layer itself may end in a softmax, as Keras' Dense can."""
    found = feature_map.found
    try:
        return feature_map, feature_map.rows(batch, index=0)
    except HeadError as failure:
        for ending in ENDINGS[1:] if found.layout.ending == "none" else ():
            ended = replace(feature_map, found=replace(found, layout=replace(found.layout, ending=ending)))
            with suppress(HeadError):
                return ended, ended.rows(batch, index=0)
        raise failure


def _check_diverged(parts: dict[str, Tensor | None], index: int | None) -> None:
    """Say that a training diverged where that is why the head of finite features is not the model's output."""
    for name, tensor in parts.items():
        if tensor is None:
            continue
        if not bool(torch.isfinite(tensor).all()):
            raise NonFiniteError(
                f"{name} hold NaN or Inf (features {at_batch(index)} do not); the training probably diverged",
                where=name,
                batch=index,
            )
        check_reach(float(tensor.abs().max()) if tensor.numel() else 0.0, name=name, batch=index)


def _head_of(found: FoundHead, rows: Rows) -> Head:
    return Head(
        name=found.name,
        weight=torch.empty(0, 0) if rows.weight is None else rows.weight.clone(),
        bias=None if rows.bias is None else rows.bias.clone(),
        kind=linear_kind(found.module) or "linear",
        layout=found.words(),
        candidates=found.candidates,
    )


def _checked_rows(n_rows: int, step: int, *, whole: bool, device: torch.device) -> Iterator[Any]:
    """Rows to compare, `step` at a time: all, or as many spread evenly, which of 50,000 outputs takes a tenth."""
    if whole or n_rows <= step:
        yield from (slice(start, start + step) for start in range(0, n_rows, step))
    else:
        yield torch.linspace(0, n_rows - 1, step, dtype=torch.float64).round().long().to(device)


def _as_wide(features: Tensor, call: LayerCall) -> Tensor:
    # Shapes only: a tensor with the leading axes of the features and the width of the output.
    return torch.empty((), device="meta").expand(*features.shape[:-1], call.shape[-1])
