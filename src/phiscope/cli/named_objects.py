"""What a user names on the command line as module:function, called and handed over."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from phiscope.errors import InputError, UnknownNameError, named_kind


def made_by(name: str, what: str) -> Any:
    """What a function gives, found by its module and name; modules of the current folder count.

    Args:
        name: "module:function", also dotted on both sides.
        what: what it should give, for messages.

    Raises:
        InputError: the name has another form, the module cannot be imported, or the function fails.
        UnknownNameError: the module has no such function.

    Example:
        >>> made_by("collections:Counter", "data")
        Counter()
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"{what} is named module:function, for example my_training:build; got {name!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = _theirs(lambda: importlib.import_module(module_name), f"{what} {name!r} cannot be imported")
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UnknownNameError(f"function in {module_name}", attribute, vars(found))
        found = getattr(found, part)
    if not callable(found) or isinstance(found, nn.Module):
        return found
    return _theirs(found, f"{what} {name!r} failed")


def _theirs(call: Callable[[], Any], sentence: str) -> Any:
    """Run code that is not phiscope's: whatever it raises is no fault of phiscope's."""
    try:
        return call()
    except Exception as error:
        raise InputError(f"{sentence} ({type(error).__name__}: {error})") from error


def model_by(name: str) -> nn.Module:
    """A network by the function that makes it, or by its own name.

    Raises:
        InputError: it is none, cannot be imported, or fails.
        UnknownNameError: there is no such function.
    """
    model = made_by(name, "MODEL")
    if not isinstance(model, nn.Module):
        raise InputError(f"{name} gave {named_kind(model)}, expected a torch.nn.Module")
    return model
