"""The folder of a run: free ones in order, those of trials, the one of a checkpoint."""

import pytest

from phiscope.errors import InputError
from phiscope.integrations.folders import folder_of, free_folder, last_folder
from phiscope.runs import RunWriter


def begun(folder):
    writer = RunWriter.create(folder, {})
    writer.finish()
    return writer.header["id"]


def test_folders_are_taken_in_order(tmp_path):
    name = tmp_path / "mine"
    assert free_folder(name) == last_folder(name) == name
    begun(name)
    assert free_folder(name) == tmp_path / "mine-2"
    assert last_folder(name) == name
    begun(tmp_path / "mine-2")
    assert free_folder(name) == tmp_path / "mine-3"
    assert last_folder(name) == tmp_path / "mine-2"


def test_an_empty_folder_is_free(tmp_path):
    (tmp_path / "mine").mkdir()
    assert free_folder(tmp_path / "mine") == tmp_path / "mine"


@pytest.mark.parametrize(
    ("name", "trial", "expected"),
    [
        ("a-{trial}", None, "a-0"),
        ("a-{trial}", "7", "a-7"),
        ("a-{trial}", "lr=0.1, width=3", "a-lr-0.1-width-3"),
        ("a-{trial}", "../../etc", "a-etc"),
        ("a", "trial 3", "a-trial-3"),
        ("a", None, "a"),
    ],
)
def test_a_trial_is_in_the_name(tmp_path, name, trial, expected):
    assert free_folder(tmp_path / name, trial) == tmp_path / expected


def test_another_name_in_braces_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"only \{trial\} is"):
        free_folder(tmp_path / "{name}")


def test_the_run_of_a_checkpoint_is_found_by_its_id(tmp_path):
    first, second = begun(tmp_path / "mine"), begun(tmp_path / "mine-2")
    assert folder_of(tmp_path / "mine", None, second) == tmp_path / "mine-2"
    assert folder_of(tmp_path / "mine", None, first) == tmp_path / "mine"
    assert folder_of(tmp_path / "mine", None, "another") is None
    (tmp_path / "mine" / "header.json").write_text("{")
    assert folder_of(tmp_path / "mine", None, second) == tmp_path / "mine-2"
