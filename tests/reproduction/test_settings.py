"""Settings of a training: their key, their steps, and those that are refused."""

import json
from dataclasses import fields, replace

import pytest

from made_outcomes import TINY
from phiscope.errors import InputError
from phiscope.reproduction.settings import Setup


def test_every_setting_changes_the_file_name():
    other = {
        "data": "glyphs", "data_settings": (("size", 12),), "n_train": 7, "n_test": 8, "train_share": 0.3,
        "shuffled": 0.5, "code": 1.0, "target_spread": (1.0,), "target_scale": 2.0, "network": "cnn", "width": 0.5,
        "depth": 9, "batch_norm": False, "init_scale": 3.0, "frozen": True, "loss": "square", "optimizer": "sgd",
        "learning_rate": 0.5, "momentum": 0.5, "betas": (0.5, 0.5), "weight_decay": 0.5, "schedule": "cosine",
        "warmup_steps": 5, "batch_size": 5, "steps": 5, "crops": True, "points": 5, "probe": 5, "tangent": 5, "seed": 5,
        "even_points": 5, "decays_frozen": True, "alpha": 2.0, "cut": "units", "distortion": "dropblock",
        "distorted_share": 0.2, "distorted_block": 0.5, "distortion_strength": 2.0,
    }  # fmt: skip
    assert set(other) == {row.name for row in fields(Setup)} - {"layers"}
    base = Setup(data="digits", loss="square", frozen=True, optimizer="adamw")
    # The base has what a target scale and a decay of frozen layers need; the other choice is then what differs.
    other |= {"loss": "cross-entropy", "frozen": False}
    keys = {replace(base, **{name: value}).key for name, value in other.items()}
    assert len(keys | {base.key}) == len(other) + 1


def test_what_is_kept_of_a_training_is_not_part_of_its_name():
    assert replace(TINY, layers=True).key == TINY.key


def test_settings_survive_json():
    setup = replace(TINY, data_settings=(("size", 12), ("color", True)), target_spread=(1.0, 2.0), loss="square")
    assert Setup.from_facts(json.loads(json.dumps(setup.facts()))) == setup


def test_the_key_is_the_same_in_every_process():
    # Written down once: another key would orphan every result on disk.
    assert Setup(data="digits").key == "digits-fcn-s0-8398e006f5e1"


def test_settings_that_came_later_leave_older_names_alone():
    setup = Setup(data="digits", frozen=True, optimizer="adamw")
    facts = setup.facts()
    for name in ("even_points", "decays_frozen", "alpha", "layers"):
        del facts[name]
    assert Setup.from_facts(facts) == setup
    assert replace(setup, even_points=3).key != setup.key != replace(setup, decays_frozen=True).key


def test_measured_steps_are_logarithmic_and_end_at_the_end():
    assert Setup(data="digits", steps=1000, points=4).measured_steps() == (0, 1, 10, 100, 1000)
    assert Setup(data="digits", steps=5, points=1).measured_steps() == (0, 1, 5)
    assert Setup(data="digits", steps=3, points=50).measured_steps() == (0, 1, 2, 3)
    assert Setup(data="digits", steps=1000, points=2, even_points=4).measured_steps() == (0, 1, 250, 500, 750, 1000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"points": 0},
        {"probe": 1},
        {"shuffled": 1.5},
        {"target_scale": 2.0},
        {"decays_frozen": True},
        {"decays_frozen": True, "frozen": True, "optimizer": "sgd"},
        {"alpha": -1.0, "loss": "square"},
        {"alpha": 3.0},
        {"alpha": 3.0, "loss": "square", "network": "cnn"},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Setup(data="digits", **wrong)
