"""Which layers of a network to measure: the sensible ones, or those that names and patterns ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import nn

from phiscope.errors import InputError, UnknownNameError, named_kind
from phiscope.inputs.settings import walked
from phiscope.network.layer_calls import ModuleCall, has_weights, is_leaf
from phiscope.network.linear_layers import is_keras, named_layers, unwrapped_name
from phiscope.network.rows import FeatureMap

Unit = Literal["block", "leaf"]
PASSING = (nn.Dropout, nn.modules.dropout._DropoutNd, nn.Identity, nn.Flatten, nn.Unflatten)
"""In eval mode these give on what they read."""

NEVER_RAN = "it did not run as a module in the forward pass, so it has no output"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The layers to measure.

    Attributes:
        calls: in the order they end in a pass; the head is not among them.
        with_head: whether the head's input is measured.
        required: keys that were asked for by name: what cannot be measured of them is an error.
        left_out: layers that a pattern matches but that cannot be measured, with the reason.
    """

    calls: tuple[ModuleCall, ...]
    with_head: bool
    required: frozenset[str]
    left_out: Mapping[str, str]


def choose(model: nn.Module, calls: list[ModuleCall], layers: str | Iterable[str], head: FeatureMap) -> Choice:
    """Choose the calls to measure.

    Args:
        model: the unwrapped network.
        calls: every call of one pass.
        layers: "auto", or a name or fnmatch pattern, or several of them. Names are dotted module names; a module
            that is called several times is all its calls, ``name@2`` the second of them.
        head: the feature map; the name of its head stands for what that reads, the name of its layer for what it gives.

    Raises:
        UnknownNameError: no layer has such a name, or none matches the pattern.
        InputError: a layer asked for by name does not run; or nothing was asked for.
    """
    within = set(head.module.modules()) if head.module is not model else set()
    inner = [one for one in calls if one.module is not head.module]
    if isinstance(layers, str) and layers == "auto":
        outside = [one for one in inner if one.module not in within]
        return Choice(calls=tuple(_auto(model, outside, head)), with_head=True, required=frozenset(), left_out={})
    listed = walked(layers)
    if listed is None and not isinstance(layers, str):
        raise InputError(f"layers is {named_kind(layers)}; expected 'auto', or layer names or patterns")
    wanted = [layers] if isinstance(layers, str) else listed
    if not wanted:
        raise InputError("layers is empty; expected 'auto', or at least one layer name or pattern")
    if not all(isinstance(one, str) for one in wanted):
        raise InputError("layers has to hold dotted layer names or patterns as text, or be 'auto'")
    return _named(model, inner, wanted, head)


def _named(model: nn.Module, calls: list[ModuleCall], wanted: list[str], head: FeatureMap) -> Choice:
    modules = named_layers(model)
    known = {name: module for name, module in modules.items() if name or module is head.module}
    keys = {one.key: one for one in calls}
    never = {name: _never_ran(module) for name, module in known.items()}
    ran: dict[nn.Module, list[ModuleCall]] = {}
    for one in calls:
        ran.setdefault(one.module, []).append(one)
    chosen: set[str] = set()
    required: set[str] = set()
    left_out: dict[str, str] = {}
    with_head = False
    for entry in wanted:
        name = unwrapped_name(entry, known)
        if name in known or name in keys:
            found = [keys[name]] if name in keys else ran.get(known[name], [])
            is_head = known.get(name) is head.module
            if not found and not is_head:
                raise InputError(f"layer {name!r} cannot be measured: {never[name]}{_inside(known, name)}")
            required |= {one.key for one in found}
        else:
            matching = [one for one in known if fnmatchcase(one, name)]
            found = [one for part in matching for one in ran.get(known[part], [])]
            found += [one for one in calls if fnmatchcase(one.key, name)]
            is_head = any(known[one] is head.module for one in matching)
            if not found and not is_head:
                raise UnknownNameError("layer", entry, [one for one in known if known[one] in ran] + [head.name])
            left_out |= {
                part: never[part] for part in matching if known[part] not in ran and known[part] is not head.module
            }
        with_head = with_head or is_head
        chosen |= {one.key for one in found}
    return Choice(
        calls=tuple(one for one in calls if one.key in chosen),
        with_head=with_head,
        required=frozenset(required),
        left_out=left_out,
    )


def _never_ran(module: nn.Module) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return "it is TorchScript, whose layers take no hooks"
    return NEVER_RAN


def _inside(known: Mapping[str, nn.Module], name: str) -> str:
    inner = [one for one in known if one.startswith(f"{name}.")][:4]
    return f"; inside it are {', '.join(map(repr, inner))}" if inner else ""


def _auto(model: nn.Module, calls: list[ModuleCall], head: FeatureMap) -> Iterator[ModuleCall]:
    """The outputs of blocks; in a chain of single layers the last output before the next layer with weights."""
    if is_leaf(model):
        return
    ran = {one.module for one in calls}
    units = dict(_units(model, "", head.module, ran))
    # Keras' layers are no children of the model.
    units |= {one.name: "leaf" for one in calls if is_keras(one.module) and is_leaf(one.module)}
    while (lone := _lone_block(model, units)) is not None:
        del units[lone]
        units |= _units(model.get_submodule(lone), f"{lone}.", head.module, ran)
    group: ModuleCall | None = None
    tail = -1
    for one in calls:
        kind = units.get(one.name)
        if kind == "block":
            yield from () if group is None else (group,)
            group, tail = one, -1
        elif kind == "leaf" and has_weights(one.module):
            yield from () if group is None else (group,)
            group, tail = one, one.order
        elif kind == "leaf" and group is not None and one.reads == tail >= 0 and _continues(one, group):
            tail = one.order
            group = group if isinstance(one.module, PASSING) else one
    if group is not None:
        yield group


def _lone_block(model: nn.Module, units: Mapping[str, Unit]) -> str | None:
    """The one block of a network whose other parts have no weights: looking inside says more."""
    blocks = [name for name, kind in units.items() if kind == "block"]
    alone = not any(kind == "leaf" and has_weights(model.get_submodule(name)) for name, kind in units.items())
    return blocks[0] if len(blocks) == 1 and alone else None


def _continues(one: ModuleCall, group: ModuleCall) -> bool:
    # Rotary position embeddings read the tokens for their dtype alone, and return cosines and sines.
    return one.place == () and one.shape is not None and one.shape[:1] == (group.shape or ())[:1]


def _units(module: nn.Module, prefix: str, head: nn.Module, ran: set[nn.Module]) -> Iterator[tuple[str, Unit]]:
    repeated = _lists_blocks(module, ran)
    for name, child in module.named_children():
        if child is head:
            continue
        full = prefix + name
        holds_head = any(part is head for part in child.modules())
        if is_leaf(child):
            yield full, "leaf"
        elif _is_container(child, ran) or holds_head or (not repeated and _holds_blocks(child, ran)):
            yield from _units(child, f"{full}.", head, ran)
        else:
            yield full, "block"


def _is_container(module: nn.Module, ran: set[nn.Module]) -> bool:
    if isinstance(module, nn.Sequential):
        return type(module).forward is nn.Sequential.forward
    return module not in ran


def _lists_blocks(module: nn.Module, ran: set[nn.Module]) -> bool:
    if not isinstance(module, (nn.Sequential, nn.ModuleList)):
        return False
    composite = sum(not is_leaf(child) and not _is_container(child, ran) for child in module.children())
    # A ModuleList of one is a network of depth one; a Sequential with one composite part is only a chain.
    return composite >= (1 if isinstance(module, nn.ModuleList) else 2)


def _holds_blocks(module: nn.Module, ran: set[nn.Module]) -> bool:
    return any(_lists_blocks(part, ran) for part in module.modules())
