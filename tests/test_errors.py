"""Every exception keeps its facts on the way to another process."""

import pickle

import pytest

from phiscope.errors import (
    AmbiguousHeadError,
    MissingDependencyError,
    MissingNumberError,
    NonFiniteError,
    UnknownNameError,
    first_line,
    named_kind,
    with_article,
)


def sent_and_back(part):
    """A part after a journey between processes, and the bytes that it took."""
    sent = pickle.dumps(part, protocol=5)
    return pickle.loads(sent), len(sent)  # noqa: S301 - made by the line above


@pytest.mark.parametrize(
    "error",
    [
        NonFiniteError("features hold NaN", where="features", batch=4),
        UnknownNameError("column", "feature", ["features"]),
        MissingNumberError("nc1", "there are no classes"),
        AmbiguousHeadError("two heads", candidates=["a", "b"]),
        MissingDependencyError("zarr", purpose="reading", extra="zarr"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel_between_processes_with_their_facts(error):
    back, _ = sent_and_back(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_a_word_has_its_article():
    words = ["an int", "an ndarray", "an OrderedDict", "an Embedding", "a str", "a UniqueThing", "a NoneType", "a list"]
    assert [with_article(word.split()[1]) for word in words] == words
    assert (named_kind(3), named_kind(None)) == ("an int", "a NoneType")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("no such size\nin layer 3", "no such size"),
        ("\n\nlater", "later"),
        ("", "RuntimeError"),
        ("x" * 300, "x" * 200),
    ],
)
def test_what_another_library_says_is_one_line_and_never_nothing(message, said):
    """Errors without a message once were an IndexError in place of the sentence about them."""
    assert first_line(RuntimeError(message)) == said
