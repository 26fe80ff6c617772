"""The numbers and sentences of many data sets are the ones that were stored; a change of them is a decision.

The data sets are those of `helpers/fingerprints.py`, which also compares two checkouts to the bit.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

import fingerprints
import phiscope
from cases import CASES

RTOL = 1e-6
# What lies near 0 is a difference of numbers of order 1: with the instructions of processors fifteen years apart
# (OPENBLAS_CORETYPE, ATEN_CPU_CAPABILITY) those of float32 networks moved by 3e-9, and all others by 5e-7 of themselves
# at most. A wrong formula moves the first digits.
ATOL = 1e-8

WHAT_TO_DO = (
    "{count} numbers or texts are not the stored ones:\n{lines}\nIf the change is meant, store them anew with "
    '`python tests/helpers/fingerprints.py --store` and write it under "Changed numbers" in CHANGELOG.md'
)


def moved(stored, found):
    """What is not as stored, a line each: numbers beyond the tolerances, and texts that differ at all."""
    lines = [f"{case}: {side}" for case, side in _in_one_only(stored, found)]
    for case in stored.keys() & found.keys():
        old, new = stored[case], found[case]
        lines += [f"{case}: {name} is {side}" for name, side in _in_one_only(old["numbers"], new["numbers"])]
        for name in old["numbers"].keys() & new["numbers"].keys():
            was, now = old["numbers"][name], new["numbers"][name]
            if not np.isclose(now, was, rtol=RTOL, atol=ATOL, equal_nan=True):
                lines.append(f"{case}: {name} was {was:g}, is {now:g}")
        for kind in ("absent", "warnings"):
            if old[kind] != new[kind]:
                lines.append(
                    f"{case}: {kind} were {_without(old[kind], new[kind])}, are {_without(new[kind], old[kind])}"
                )
    return sorted(lines)


def _in_one_only(old, new):
    return [(name, "gone") for name in old.keys() - new.keys()] + [(name, "new") for name in new.keys() - old.keys()]


def _without(one, other):
    """The part of one that the other does not have."""
    if isinstance(one, dict):
        return {key: text for key, text in one.items() if other.get(key) != text}
    return [text for text in one if text not in other]


@pytest.fixture(scope="module")
def stored():
    return json.loads(fingerprints.STORED.read_text(encoding="utf-8"))


@pytest.mark.slow
def test_two_runs_in_two_processes_are_equal_to_the_bit():
    first, second = (fingerprints.run(fingerprints.SOURCE) for _ in range(2))
    assert len(first) > 50
    assert fingerprints.differences(first, second) == []


@pytest.mark.slow
def test_numbers_and_texts_are_the_stored_ones(stored):
    lines = moved(stored, fingerprints.run(fingerprints.SOURCE, "facts"))
    assert lines == [], WHAT_TO_DO.format(count=len(lines), lines="\n".join(lines))


@pytest.fixture
def m():
    return phiscope.diagonalize(**CASES["n > p"])


def test_control_the_last_bit_of_a_number_is_seen(m):
    ours = {"case": fingerprints.hashes_of(m)}
    numbers = {**m.numbers, "nc2_equinorm": float(np.nextafter(m["nc2_equinorm"], 1))}
    theirs = {"case": fingerprints.hashes_of(replace(m, numbers=numbers))}
    # An interval lies about its number; the table shows four digits of it.
    assert fingerprints.differences(ours, theirs) == ["case: interval nc2_equinorm", "case: number nc2_equinorm"]
    assert fingerprints.differences(ours, {}) == sorted(f"case: {what}" for what in ours["case"])


@pytest.mark.parametrize("name", ["eigenvalues", "eigenvectors", "quality", "cumulative_utilization"])
def test_control_the_last_bit_of_an_array_is_seen_and_a_sign_is_not(m, name):
    before = getattr(m.centered, name)
    values = before.copy()
    values.flat[-1] = np.nextafter(values.flat[-1], 2)
    ours = {"case": fingerprints.hashes_of(m)}
    theirs = {"case": fingerprints.hashes_of(replace(m, centered=replace(m.centered, **{name: values})))}
    assert fingerprints.differences(ours, theirs) == [f"case: centered {name}"]
    turned = replace(m, centered=replace(m.centered, eigenvectors=-m.centered.eigenvectors))
    assert fingerprints.differences(ours, {"case": fingerprints.hashes_of(turned)}) == []


def test_control_what_moved_is_named_and_rounding_is_not(m):
    facts = fingerprints.facts_of(m)
    stored = {"case": json.loads(json.dumps(facts))}
    assert moved(stored, {"case": facts}) == []
    assert moved(stored, {}) == ["case: gone"]
    for factor, seen in ((1 + 1e-7, False), (1 + 1e-5, True)):
        other = facts | {"numbers": facts["numbers"] | {"nc1": facts["numbers"]["nc1"] * factor}}
        assert bool(moved(stored, {"case": other})) == seen
    other = facts | {"numbers": {}, "warnings": ["beware"], "absent": facts["absent"] | {"nrc1": "no"}}
    lines = moved(stored, {"case": other})
    assert "case: nc1 is gone" in lines
    assert any("are ['beware']" in line for line in lines)
    assert any("are {'nrc1': 'no'}" in line for line in lines)
    assert len(lines) == len(facts["numbers"]) + 2
