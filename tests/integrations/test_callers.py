"""What callers hold is read, nearest first, and nothing is kept alive by it."""

import gc
import weakref

from phiscope.integrations.callers import DEPTH, in_callers


class Thing:
    pass


def of(names):
    return names.get("thing")


def test_the_nearest_caller_answers():
    def outer():
        thing = "outer"
        return inner(), thing

    def inner():
        thing = "inner"
        return (lambda: in_callers(of))(), thing

    assert outer()[0] == ("inner", "inner")


def test_without_an_answer_there_is_none():
    assert in_callers(lambda names: names.get("nobody has this name")) is None


def test_callers_further_up_than_the_depth_are_not_asked():
    def deep(levels):
        return in_callers(of) if levels == 0 else deep(levels - 1)

    def top(levels):
        thing = "found"
        return deep(levels), thing

    assert top(DEPTH - 2)[0] == "found"
    assert top(DEPTH + 1)[0] is None


def test_what_was_found_lives_no_longer():
    def framework():
        thing = Thing()
        found = in_callers_of_a_callback()
        assert found is thing
        return weakref.ref(thing)

    def in_callers_of_a_callback():
        return in_callers(of)

    there = framework()
    gc.collect()
    assert there() is None
