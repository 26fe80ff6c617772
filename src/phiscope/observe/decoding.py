"""Samples and classes as text: what a tokenizer, a function or a mapping of the caller says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, first_line, named_kind
from phiscope.inputs.arrays import brief

BEFORE, AFTER = 24, 12
"""Tokens of a text that are shown before and after the one that is marked."""

OUTSIDE = -1
"""In a window of token ids: no token, because the text ends or is padding."""

LONGEST = 240
"""Letters that are kept on each side of a marked token, and of a sample."""

Marked = tuple[str, str, str]
"""Text before, the marked token, text after; a whole sample is the middle alone."""


class Decoder:
    """Turns samples into text.

    Args:
        decode: a tokenizer with ``.decode``, or a function: of a list of token ids, or of a sample as an array.

    Raises:
        InputError: it is neither.

    Example:
        >>> Decoder(lambda ids: " ".join("abc"[i] for i in ids)).token(np.array([-1, 0, 1, 2]), 2)
        ('a', 'b', 'c')
    """

    def __init__(self, decode: Any) -> None:
        # Tokenizers of transformers can be called, too: that makes ids of text.
        own = getattr(decode, "decode", None)
        found = own if callable(own) and not isinstance(decode, (str, bytes)) else decode
        if not callable(found):
            raise InputError(
                f"decode is {named_kind(decode)}; expected a tokenizer with .decode, or a function that makes "
                "text of a list of token ids"
            )
        self._decode: Callable[[Any], Any] = found

    def text(self, sample: Any) -> str:
        """Text of a list of ids, or of anything that the function takes; without what no file can hold.

        Raises:
            InputError: the function failed, or returned no text.
        """
        try:
            text = self._decode(sample)
        except Exception as error:
            raise InputError(
                f"decode failed on {brief(sample)}: {type(error).__name__}: {first_line(error)}"
            ) from error
        if not isinstance(text, str):
            raise InputError(f"decode returned {named_kind(text)} for {brief(sample)}; expected text")
        # Half of a surrogate pair, which a cut between tokens can leave, has no form in UTF-8.
        return text.encode("utf-8", "replace").decode("utf-8")

    def whole(self, sample: NDArray[Any]) -> Marked:
        """A sample that is shown as a whole: ids become a list, all else stays an array."""
        is_ids = sample.ndim == 1 and np.issubdtype(sample.dtype, np.integer)
        return "", _cut(self.text(sample.tolist() if is_ids else sample), LONGEST), ""

    def token(self, window: NDArray[Any], place: int) -> Marked:
        """The token at a place of a window of ids, with the text around it."""
        before, after = (self._joined(part) for part in (window[:place], window[place + 1 :]))
        token = int(window[place])
        return before[-LONGEST:], _cut(self.text([token]), LONGEST) or f"[{token}]", _cut(after, LONGEST)

    def _joined(self, ids: NDArray[Any]) -> str:
        there = ids[ids != OUTSIDE].tolist()
        return self.text(there) if there else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def window_of(ids: NDArray[Any], real: NDArray[np.bool_], at: int) -> NDArray[np.int64]:
    """The ids around a position, `BEFORE` and `AFTER` it; what is outside the text or padding is `OUTSIDE`.

    Example:
        >>> window_of(np.array([5, 6, 7]), np.array([True, True, False]), 1)[BEFORE - 1 : BEFORE + 2].tolist()
        [5, 6, -1]
    """
    window = np.full(BEFORE + 1 + AFTER, OUTSIDE, dtype=np.int64)
    low, high = max(at - BEFORE, 0), min(at + AFTER + 1, len(ids))
    window[low - at + BEFORE : high - at + BEFORE] = np.where(real[low:high], ids[low:high], OUTSIDE)
    window[BEFORE] = ids[at]
    return window


def class_names_of(names: Any, n_classes: int | None) -> list[str] | None:
    """Class names as a run keeps them.

    Args:
        names: None; a sequence of names; a mapping from class to name; a tokenizer with ``.decode``, which is asked
            for each id; or a function of a class. What a mapping lacks, or a function has no text for, is "class 7".
        n_classes: number of classes, where it is known.

    Raises:
        InputError: names are none of these, or a function came and the number of classes is not known.

    Example:
        >>> class_names_of({1: "one"}, 3), class_names_of(lambda c: "abc"[c], 2)
        (['class 0', 'one', 'class 2'], ['a', 'b'])
    """
    if names is None:
        return None
    if isinstance(names, Mapping):
        try:
            known = {int(label): name for label, name in names.items()}
        except (TypeError, ValueError) as error:
            raise InputError(f"class_names is a mapping whose keys are no classes: {error}") from error
        count = n_classes if n_classes is not None else max(known, default=-1) + 1
        return [_name(known.get(label), label) for label in range(count)]
    if isinstance(names, Sequence | np.ndarray | set | frozenset) and not isinstance(names, str):
        return [str(name) for name in _in_order(names)]
    if (not callable(names) and not callable(getattr(names, "decode", None))) or isinstance(names, str):
        raise InputError(
            f"class_names is {named_kind(names)}; expected a list, a mapping from class to name, a function of a "
            "class, or a tokenizer with .decode"
        )
    if n_classes is None:
        raise InputError(
            "class_names is a function, and how many classes there are is not known without outputs; pass a list or a "
            "mapping"
        )
    by_ids = callable(getattr(names, "decode", None))
    decoder = Decoder(names if by_ids else lambda label: _name(names(label), label))
    return [_name(decoder.text([label] if by_ids else label), label) for label in range(n_classes)]


def _in_order(names: Iterable[Any]) -> Iterable[Any]:
    if isinstance(names, (set, frozenset)):
        raise InputError("class_names is a set, which has no order; expected a list")
    return names


def _name(name: Any, label: int) -> str:
    return f"class {label}" if name is None or name == "" else str(name)
