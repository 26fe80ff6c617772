"""An outcome and its file."""

import pytest

from made_outcomes import TINY
from phiscope.errors import RunFormatError
from phiscope.reproduction.outcome import Outcome
from phiscope.reproduction.training import train


@pytest.fixture(scope="module")
def outcome():
    """A tiny training."""
    return train(TINY)


def test_an_outcome_survives_its_file(outcome, tmp_path):
    path = tmp_path / "deep" / "one.json"
    outcome.save(path)
    assert Outcome.load(path) == outcome
    assert [file.name for file in path.parent.iterdir()] == ["one.json"]
    # A full history of the largest family has 60 trainings: it has to stay a few megabytes.
    assert path.stat().st_size < 40_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "setup": {}}', '{"format": 99}', "not json"])
def test_an_unreadable_file_is_named(tmp_path, text):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(RunFormatError, match=r"one\.json"):
        Outcome.load(tmp_path / "one.json")
