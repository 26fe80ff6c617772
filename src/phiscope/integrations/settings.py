"""Which of a training's settings a run may keep: what differs from the defaults; no secret, no path, no machine."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from torch.optim import Optimizer

Setting = str | int | float | bool

LONGEST = 60
"""Text of more letters is no setting."""

# Names that say that their value is a secret; and, of text, that it is a place, or of this machine or account.
_SECRET_NAME = re.compile(r"(^|_)(token|api_?key|key|secret|password|passwd|credentials?|auth)(_|$)", re.IGNORECASE)
_PRIVATE_NAME = re.compile(
    r"(^|_)(tokens|keys|secrets|url|uri|endpoint|hub|user|username|host|hostname|dirs?|directory|folders?|paths?|files?|"
    r"filename|checkpoint|project|entity|email|address|run_name)(_|$)",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[/\\~$]|://|@|^\w:")
# Long text of letters and digits without a space reads like a secret, not like a word.
_SECRET = re.compile(r"^(?=.*\d)(?=.*[A-Za-z])[\w.=+-]{20,}$")


def may_keep(name: str, value: Any) -> bool:
    """Whether a setting may stand in a run, which people publish: plain numbers, and words that are no secret or place.

    Example:
        >>> may_keep("learning_rate", 0.1), may_keep("hub_token", "hf_abc"), may_keep("data", "/home/me/x")
        (True, False, False)
    """
    if _SECRET_NAME.search(name):
        return False
    if isinstance(value, str):
        return (
            0 < len(value) <= LONGEST
            and not _PRIVATE_NAME.search(name)
            and not _PLACE.search(value)
            and not _SECRET.match(value)
        )
    if isinstance(value, list | tuple):
        return 0 < len(value) <= 8 and all(may_keep(name, one) for one in value)
    return isinstance(value, bool | int | float)


def kept_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run may keep; enumerations by their value.

    Example:
        >>> kept_settings({"epochs": 3, "token": "abc", "layers": [1, 2], "model": object()})
        {'epochs': 3, 'layers': [1, 2]}
    """
    plain = {str(name): value.value if isinstance(value, Enum) else value for name, value in settings.items()}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in plain.items()
        if may_keep(name, value)
    }


def changed_fields(settings: Any) -> dict[str, Any]:
    """Of a dataclass of settings, the fields that differ from their defaults and may be kept.

    Args:
        settings: the dataclass; only fields that its constructor takes count.
    """
    changed = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name, None)
        default = field.default_factory() if callable(field.default_factory) else field.default
        # None and False both say that a thing is off.
        if field.init and _plain(value) != _plain(default) and (value or default):
            changed[field.name] = value
    return kept_settings(changed)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def optimizer_settings(optimizers: Iterable[Any]) -> dict[str, Any]:
    """Class and learning rate of the first optimizer, and what else of it differs from the defaults of its class.

    Example:
        >>> import torch
        >>> optimizer_settings([torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)])
        {'optimizer': 'SGD', 'learning_rate': 0.1, 'momentum': 0.9}
    """
    first = next(iter(optimizers), None)
    # accelerate, Lightning and schedulers wrap it.
    first = getattr(first, "optimizer", first)
    if not isinstance(first, Optimizer):
        return {}
    usual = {name: row.default for name, row in inspect.signature(type(first).__init__).parameters.items()}
    # The values at the start are in the groups: schedulers have moved them from the defaults already.
    now = {**first.defaults, **{name: first.param_groups[0].get(name) for name in first.defaults}}
    changed = {name: value for name, value in now.items() if name != "lr" and name in usual and usual[name] != value}
    rate = first.param_groups[0].get("initial_lr", first.param_groups[0].get("lr"))
    named = {"optimizer": type(first).__name__, "learning_rate": float(rate) if rate is not None else None}
    return kept_settings({**named, **changed})
