"""Which checkpoints there are, in the order of the training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from phiscope.errors import InputError
from phiscope.observe.checkpoints import checkpoints_of, named_place
from saved_trainings import save_trainer_folder, states

STATE = states(1)[0]

NAMES = {
    "epoch=3-step=400.ckpt": (3.0, 400, None),
    "epoch_0012.pth": (12.0, None, None),
    "ep7.pt": (7.0, None, None),
    "step_400.safetensors": (None, 400, None),
    "iter2000.pt": (None, 2000, None),
    "model_0012.pth.tar": (None, None, 12.0),
    "checkpoint_12.pt": (None, None, 12.0),
    "resnet18.pt": (None, None, 18.0),
    "deep.pt": (None, None, None),
    "last.ckpt": (None, None, None),
}


@pytest.mark.parametrize("name", NAMES)
def test_epoch_and_step_in_a_name(name):
    assert named_place(Path(name)) == NAMES[name]


def saved(folder, **contents):
    for name, content in contents.items():
        torch.save(content, folder / f"{name}.pt")
    return folder


def order(given):
    return [(one.path.name, one.epoch, one.step) for one in checkpoints_of(given)]


def test_the_order_is_that_of_the_training_not_of_the_names(tmp_path):
    saved(tmp_path, b={"model": STATE, "epoch": 2}, a={"model": STATE, "epoch": 10}, c={"model": STATE, "epoch": 9})
    expected = [("b.pt", 2.0, None), ("c.pt", 9.0, None), ("a.pt", 10.0, None)]
    assert order(str(tmp_path / "*.pt")) == expected
    assert order([tmp_path / "a.pt", str(tmp_path / "[bc].pt")]) == expected


def test_what_a_file_says_counts_more_than_its_name_and_a_pair_more_than_both(tmp_path):
    saved(tmp_path, epoch_1={"model": STATE, "epoch": 5}, epoch_2=STATE)
    assert order([tmp_path / "epoch_1.pt", tmp_path / "epoch_2.pt"]) == [
        ("epoch_2.pt", 2.0, None),
        ("epoch_1.pt", 5.0, None),
    ]
    pairs = [(8, tmp_path / "epoch_1.pt"), (7.5, str(tmp_path / "epoch_2.pt"))]
    assert order(pairs) == order(dict(pairs)) == [("epoch_2.pt", 7.5, None), ("epoch_1.pt", 8.0, None)]


def test_folders_of_the_trainer_stand_at_their_epochs_and_steps(tmp_path):
    for step in (100, 20):
        save_trainer_folder(tmp_path / f"checkpoint-{step}", STATE, epoch=step / 40, step=step)
    assert order(tmp_path / "checkpoint-*") == [("checkpoint-20", 0.5, 20), ("checkpoint-100", 2.5, 100)]


def test_a_folder_without_a_state_stands_at_the_step_in_its_name(tmp_path):
    for step in (100, 20):
        save_trainer_folder(tmp_path / f"checkpoint-{step}", STATE, epoch=0.0, step=step)
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").unlink()
    found = checkpoints_of(tmp_path / "checkpoint-*")
    assert [(one.epoch, one.step, one.position) for one in found] == [(None, 20, 20.0), (None, 100, 100.0)]


def test_where_nothing_is_said_names_are_sorted_as_people_do(tmp_path):
    saved(tmp_path, **dict.fromkeys(("v10b", "v2b", "v1b"), STATE))
    assert order(tmp_path / "*.pt") == [("v1b.pt", 0.0, None), ("v2b.pt", 1.0, None), ("v10b.pt", 2.0, None)]


def test_numbers_at_the_end_are_epochs(tmp_path):
    saved(tmp_path, model_10=STATE, model_9=STATE)
    assert order(tmp_path / "*.pt") == [("model_9.pt", 9.0, None), ("model_10.pt", 10.0, None)]


REFUSED = {
    "none": (lambda folder: [], "no checkpoint was given"),
    "not there": (lambda folder: [folder / "nowhere.pt"], r"there is no checkpoint .*nowhere\.pt"),
    "no match": (lambda folder: [str(folder / "*.ckpt")], r"no checkpoint matches .*\*\.ckpt"),
    "no list": (lambda folder: None, "checkpoints is None, expected a path"),
    "before the start": (lambda folder: [(-1, folder / "a.pt")], r"a\.pt: epoch=-1.0, expected a finite number, 0"),
    "half a step": (lambda folder: saved(folder, b={"w": STATE, "step": 2.5}) / "b.pt", r"b\.pt: step=2.5, expected"),
    "no step": (lambda folder: saved(folder, b={"w": STATE, "step": float("nan")}) / "b.pt", r"b\.pt: step=nan, exp"),
    "not a path": (lambda folder: [3], "a checkpoint is a path or"),
    "two alike": (lambda folder: [(1, folder / "a.pt"), (1, folder / "epoch_2.pt")], r"both stand at epoch 1"),
    "some unplaced": (lambda folder: [folder / "a.pt", folder / "epoch_2.pt"], r"a\.pt says no epoch or step, but .*2"),
    "two units": (lambda folder: [folder / "step_3.pt", folder / "epoch_2.pt"], r"step_3\.pt says no epoch, but .*2\."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_order_is_one_sentence(tmp_path, case):
    saved(tmp_path, a=STATE, epoch_2=STATE, step_3=STATE)
    given, sentence = REFUSED[case]
    with pytest.raises(InputError, match=sentence):
        checkpoints_of(given(tmp_path))


@pytest.mark.parametrize("epoch", [3, 3.0, np.int64(3), np.float32(3), np.uint8(3)])
def test_an_epoch_is_any_number(tmp_path, epoch):
    torch.save({"w": torch.ones(1)}, tmp_path / "x.pt")
    (found,) = checkpoints_of([(epoch, tmp_path / "x.pt")])
    assert (found.epoch, type(found.epoch)) == (3.0, float)


@pytest.mark.parametrize("epoch", [True, "3", None, float("nan"), float("inf"), 1j])
def test_what_is_no_epoch_is_refused(tmp_path, epoch):
    torch.save({"w": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="a checkpoint is a path or"):
        checkpoints_of([(epoch, tmp_path / "x.pt")])
