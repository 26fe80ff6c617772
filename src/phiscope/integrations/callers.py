"""What a framework holds and does not hand to its callbacks.

A callback of Hugging Face's Trainer is given no trainer, and one of Keras' fit no validation data; both are objects
that the function which calls it has at hand. They are looked up there, so that one line is enough to observe a
training. Nothing is changed in the caller, and where the object is not found the user is asked for it in a sentence.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

DEPTH = 40
"""So many callers up; decorators and lists of callbacks stand between."""


def in_callers(wanted: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Ask the callers of a function, nearest first, for something among their local variables.

    Args:
        wanted: is given the local variables of one caller, to read; gives what was looked for, or None to go on.

    Returns:
        The first answer, or None.

    Example:
        >>> def framework():
        ...     trainer = "the trainer"
        ...     return callback()
        >>> def callback():
        ...     return in_callers(lambda names: names.get("trainer"))
        >>> framework()
        'the trainer'
    """
    frame = inspect.currentframe()
    try:
        frame = None if frame is None else frame.f_back
        for _ in range(DEPTH):
            if frame is None:
                return None
            answer = wanted(frame.f_locals)
            if answer is not None:
                return answer
            frame = frame.f_back
        return None
    finally:
        # A frame in a cycle would keep its variables alive.
        del frame
