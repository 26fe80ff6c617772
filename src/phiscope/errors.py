"""Every exception that phiscope raises on purpose.

::

    PhiscopeError
    ├── InputError            what came in cannot be used (also a ValueError)
    │   ├── ShapeError        array shapes do not fit together
    │   ├── NonFiniteError    NaN or Inf, with the place where it was found
    │   │   └── ReachError    finite, but too large or too small for sums of fourth powers
    │   ├── EmptyDataError    no samples, or too few for the question
    │   └── TargetError       targets that cannot be read as classes or values
    ├── HeadError             the model could not be split into feature map and head
    │   ├── NoHeadError       no linear layer produces the model's output
    │   └── AmbiguousHeadError  several do; the message names them
    ├── UnknownNameError      a number, study, split or layer that does not exist (also a LookupError)
    │   ├── AmbiguousNameError  a word that may mean several numbers
    │   └── MissingNumberError  a known number that this measurement does not have, and why
    ├── RankError             another process failed with a foreign error, or did not answer
    ├── AlertError            a number passed a limit that the caller set, with then="raise"
    ├── RunError              a run on disk
    │   ├── RunFormatError    unreadable, or written by a newer phiscope
    │   ├── RunExistsError    writing would overwrite an existing run
    │   ├── RunLockedError    somebody else is writing this run
    │   └── RunWriteError     a file cannot be written: a full disk, no permission, a deleted folder
    └── MissingDependencyError  an optional library is not installed (also an ImportError)

Messages are one sentence: what came, what was expected, what to do. The command line prints them
without a traceback and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class PhiscopeError(Exception):
    """Base of every exception that phiscope raises on purpose; each of them can be sent to another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Not through the constructors, which ask for more than the message.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[PhiscopeError], args: tuple[Any, ...], state: dict[str, Any]) -> PhiscopeError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def with_article(word: str) -> str:
    """A word of a sentence with its article, as the names of types need it.

    Example:
        >>> with_article("int"), with_article("list"), with_article("UniqueMapping"), with_article("ndarray")
        ('an int', 'a list', 'a UniqueMapping', 'an ndarray')
    """
    # "a unit" and "a European", but "an unordered list"; the n of ndarray is spoken as a letter.
    spoken = word.lower()
    as_consonant = spoken.startswith(("uni", "use", "usu", "eu", "one"))
    as_vowel = spoken.startswith(("a", "e", "i", "o", "u", "nd", "mlp", "lstm", "rnn", "fp", "nn."))
    return f"{'an' if as_vowel and not as_consonant else 'a'} {word}"


def named_kind(value: object) -> str:
    """What a value is, as a sentence says it: its class with the article.

    Example:
        >>> named_kind(3), named_kind([])
        ('an int', 'a list')
    """
    return with_article(type(value).__name__)


def first_line(error: BaseException, most: int = 200) -> str:
    """What another library's error says, short enough to stand inside a sentence; its class where it says nothing.

    Args:
        error: its message may have many lines, or none.
        most: so many characters are kept.

    Example:
        >>> first_line(ValueError(f"no such size{chr(10)}in layer 3")), first_line(MemoryError())
        ('no such size', 'MemoryError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


class InputError(PhiscopeError, ValueError):
    """The data handed in cannot be used as they are."""


class ShapeError(InputError):
    """Array shapes do not fit together; the message gives letters, what came and what was expected."""


class NonFiniteError(InputError):
    """NaN or Inf in the data; the message says where.

    Attributes:
        where: what held the value, for example ``"features"``.
        batch: index of the batch, counted from 0, or None outside a stream of batches.
    """

    def __init__(self, message: str, *, where: str, batch: int | None = None) -> None:
        super().__init__(message)
        self.where = where
        self.batch = batch


class ReachError(NonFiniteError):
    """Finite numbers whose fourth powers leave the range of float64, as a training that diverges has them."""


class EmptyDataError(InputError):
    """No samples, or fewer than the question needs."""


class TargetError(InputError):
    """Targets that cannot be read as class indices or regression values."""


class HeadError(PhiscopeError):
    """The model could not be split into a feature map and a linear head.

    Attributes:
        candidates: dotted names of the layers that were considered.
    """

    def __init__(self, message: str, *, candidates: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class NoHeadError(HeadError):
    """No linear layer produces the model's output."""


class AmbiguousHeadError(HeadError):
    """Several linear layers produce the model's output; the caller has to choose."""


class UnknownNameError(PhiscopeError, LookupError):
    """A name that does not exist; the message offers the nearest ones.

    Attributes:
        name: the name that came.
        nearest: up to three existing names close to it.
    """

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, nearest: Iterable[str] | None = None, listing: str = ""
    ) -> None:
        """From what exists.

        Args:
            kind: what was looked for, such as ``"number"``.
            name: the name that came.
            known: every name that exists.
            nearest: names close to it, where more is known than their spelling; None compares spellings.
            listing: what prints all names, said instead of them where none is close.
        """
        known = sorted(known)
        self.name = name
        close = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5) if nearest is None else nearest
        self.nearest = tuple(close)
        if self.nearest:
            offer = f"did you mean {', '.join(self.nearest)}?"
        else:
            offer = f"{listing} lists all" if listing else f"known are {', '.join(known) or 'none'}"
        shown = " ".join(repr(name).split())
        super().__init__(f"there is no {kind} named {shown if len(shown) <= 100 else shown[:97] + '...'}; {offer}")


class AmbiguousNameError(UnknownNameError):
    """A word that may mean several numbers; the message lists them.

    Attributes:
        meanings: the names that it may stand for.
    """

    def __init__(self, name: str, meanings: Mapping[str, str]) -> None:
        PhiscopeError.__init__(
            self,
            f"{name!r} may mean {', '.join(f'{one} ({title})' for one, title in meanings.items())}; name one of them",
        )
        self.name = name
        self.nearest = self.meanings = tuple(meanings)


class MissingNumberError(UnknownNameError):
    """A number phiscope knows, but which this measurement does not have.

    Attributes:
        reason: why it is absent.
    """

    def __init__(self, name: str, reason: str) -> None:
        PhiscopeError.__init__(self, f"{name!r} was not measured: {reason}")
        self.name = name
        self.nearest = ()
        self.reason = reason


class RankError(PhiscopeError):
    """A process under torch.distributed failed with an error that is not phiscope's, or did not answer."""


class AlertError(PhiscopeError):
    """A number passed a limit that the caller set to raise.

    Attributes:
        evidence: what led there, as `phiscope.Alert` gives it to a function.
    """

    def __init__(self, message: str, *, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        # Another rank's error comes as its sentence alone.
        self.evidence = {} if evidence is None else evidence


class RunError(PhiscopeError):
    """A run on disk cannot be used."""


class RunFormatError(RunError):
    """The run is unreadable or was written by a newer phiscope."""


class RunExistsError(RunError):
    """Writing here would overwrite an existing run."""


class RunLockedError(RunError):
    """Somebody else is writing this run, and two writers would destroy each other's records."""


class RunWriteError(RunError):
    """A file cannot be written; the message names it and the system's reason.

    Attributes:
        path: the file, as text.
        reason: what the system says, such as ``"No space left on device"``.
    """

    def __init__(self, message: str, *, path: str, reason: str) -> None:
        super().__init__(message)
        self.path = path
        self.reason = reason


class MissingDependencyError(PhiscopeError, ImportError):
    """An optional library is needed and not installed; the message gives the install command."""

    def __init__(self, package: str, *, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; run: pip install 'phiscope[{extra}]'"
        )
