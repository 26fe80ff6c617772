"""Limits for numbers: when they fire, what they are relative to, and what they say."""

import ast
import json
import re
from pathlib import Path

import pytest

import phiscope
from phiscope.errors import InputError, UnknownNameError
from phiscope.observe.alerts import KEPT_VALUES, Guard
from small_runs import measured

NAME = "effective_dimension_centered"


def fired(alert, values, split="train"):
    """Positions at which a sequence of values fires an alert; None stands for a record without the number."""
    guard = Guard(alert, split)
    return [i for i, value in enumerate(values) if heard(guard, i, value) is not None]


def heard(guard, epoch, value, measurement=None):
    numbers = {} if value is None else {guard.alert.number: value}
    return guard.hear({"epoch": float(epoch), "step": None}, numbers, measurement)


CASES = {
    "patience counts records in a row": ({"below": 5.0}, [9, 4, 6, 4, 4, 4, 4], [4]),
    "patience of one": ({"below": 5.0, "patience": 1}, [9, 4, 4], [1]),
    "again after it came back": ({"below": 5.0, "patience": 1}, [4, 4, 9, 4], [0, 3]),
    "the limit itself is not below": ({"below": 5.0, "patience": 1}, [5.0], []),
    "above": ({"above": 5.0}, [4, 6, 7], [2]),
    "a record without the number counts neither way": ({"below": 5.0}, [4, None, 4], [2]),
    "half of the first": ({"below": 0.5, "relative_to": "initial", "patience": 1}, [10, 6, 4.9], [2]),
    "half of the best": ({"below": 0.5, "relative_to": "best", "patience": 1}, [4, 3, 10, 4.9], [3]),
    "twice the best, which is the smallest": ({"above": 2.0, "relative_to": "best", "patience": 1}, [4, 3, 7], [2]),
    "half of that at the second record": ({"below": 0.5, "relative_to": 1, "patience": 1}, [1, 10, 4.9], [2]),
    "nothing before the record it is relative to": (
        {"below": 2.0, "relative_to": 2, "patience": 1},
        [1, 1, 9, 9],
        [2],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_when_it_fires(case):
    options, values, expected = CASES[case]
    assert fired(phiscope.Alert(NAME, **options), values) == expected


def test_the_evidence_has_the_values_that_led_there():
    guard = Guard(phiscope.Alert(NAME, below=0.5, relative_to="initial"), "train")
    assert [heard(guard, epoch, value) for epoch, value in enumerate((10.0, 4.0))] == [None, None]
    evidence = heard(guard, 2, 3.0)
    assert [row["value"] for row in evidence["values"]] == [10.0, 4.0, 3.0]
    assert (evidence["threshold"], evidence["reference"], evidence["value"]) == (5.0, 10.0, 3.0)
    assert evidence["alert"]["below"] == 0.5
    assert evidence["sentence"] == (
        "effective_dimension_centered below 0.5 of the initial value, which is 5, on 'train' for 2 measured records in "
        "a row: 3 at epoch 2"
    )
    json.dumps(evidence, allow_nan=False)


def test_a_limit_within_the_interval_is_said():
    m = measured()
    name = "participation_ratio"
    low, high = m.interval(name)
    (value,) = [m[name]]
    inside = Guard(phiscope.Alert(name, below=(value + high) / 2, patience=1), "train")
    evidence = heard(inside, 0, value, m)
    assert evidence["within_error"]
    assert evidence["interval"] == [low, high]
    assert "95 % interval" in evidence["sentence"]
    assert evidence["sentence"].endswith("within its error")
    outside = Guard(phiscope.Alert(name, below=2 * high, patience=1), "train")
    evidence = heard(outside, 0, value, m)
    assert not evidence["within_error"]
    assert "within its error" not in evidence["sentence"]


def test_a_state_goes_on_where_it_was():
    alert = phiscope.Alert(NAME, below=0.5, relative_to="initial", patience=3)
    guard = Guard(alert, "train")
    for epoch, value in enumerate((10.0, 4.0, 4.0)):
        assert heard(guard, epoch, value) is None
    state = json.loads(json.dumps(guard.state()))
    again = Guard(alert, "train")
    again.load(state)
    assert heard(again, 3, 4.0)["threshold"] == 5.0
    # Without it three more are needed, and the first of them is the initial one.
    fresh = Guard(alert, "train")
    assert heard(fresh, 3, 4.0) is None


def test_what_is_recalled_fires_only_at_the_next_record():
    guard = Guard(phiscope.Alert(NAME, below=5.0), "train")
    guard.recall([({"epoch": float(e), "step": None}, {NAME: 4.0}) for e in range(3)])
    assert heard(guard, 3, 4.0) is not None


def test_a_long_training_does_not_fill_the_memory():
    guard = Guard(phiscope.Alert(NAME, below=5.0), "train")
    for epoch in range(3 * KEPT_VALUES):
        heard(guard, epoch, 9.0)
    assert len(guard.state()["values"]) == KEPT_VALUES


def test_an_unknown_number_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean .*effective_dimension_centered"):
        phiscope.Alert("effective_dimension_centred", below=5.0)


WRONG = {
    "no limit": ({}, "has one limit"),
    "two limits": ({"below": 1.0, "above": 2.0}, "has one limit"),
    "not a number": ({"below": float("nan")}, "has one limit"),
    "text": ({"below": "5"}, "has one limit"),
    "patience": ({"below": 1.0, "patience": 0}, "patience=0"),
    "relative_to": ({"below": 1.0, "relative_to": "last"}, "relative_to='last'"),
    "a negative record": ({"below": 1.0, "relative_to": -1}, "relative_to=-1"),
    "then": ({"below": 1.0, "then": "shout"}, "then='shout'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_one_sentence(case):
    options, sentence = WRONG[case]
    with pytest.raises(InputError, match=sentence):
        phiscope.Alert(NAME, **options)


def test_the_action_is_no_part_of_its_key():
    loud = Guard(phiscope.Alert(NAME, below=5.0, then="stop"), "train")
    assert loud.key == Guard(phiscope.Alert(NAME, below=5.0), "train").key
    assert loud.key != Guard(phiscope.Alert(NAME, below=4.0), "train").key
    assert loud.key != Guard(phiscope.Alert(NAME, below=5.0), "test").key


def test_the_alerts_on_the_page_can_be_made():
    page = (Path(__file__).parents[2] / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
    found = re.findall(r"`Alert\((.*?)\)`", page)
    assert len(found) >= 6
    for arguments in found:
        call = ast.parse(f"Alert({arguments})", mode="eval").body
        (name,) = [ast.literal_eval(one) for one in call.args]
        phiscope.Alert(name, **{word.arg: ast.literal_eval(word.value) for word in call.keywords})


def test_a_value_next_to_its_limit_has_the_digits_that_tell_it_from_it():
    guard = Guard(phiscope.Alert("dynamical_low_rank_centered", below=0.2, patience=1), "train")
    assert "0.199996 at epoch 3" in heard(guard, 3, 0.199996)["sentence"]
