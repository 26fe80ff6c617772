"""The files of a run: strict JSON, names that stay in the folder, and no pickles."""

import json
import math
import pickletools

import numpy as np
import pytest

from phiscope.runs import RunWriter, open_run
from small_runs import measured


def test_losses_that_are_not_finite_are_kept_in_strict_json(writer):
    writer.append(1, 10, {"a": math.nan, "b": math.inf, "c": -math.inf}, {})
    text = (writer.path / "scalars.jsonl").read_text()
    with pytest.raises(ValueError, match="literal"):
        json.loads("[NaN]", parse_constant=refuse)  # the control: this parser does refuse NaN
    json.loads(text, parse_constant=refuse)
    scalars = open_run(writer.path).records[0].scalars
    assert math.isnan(scalars["a"])
    assert (scalars["b"], scalars["c"]) == (math.inf, -math.inf)


def refuse(literal):
    raise ValueError(f"literal {literal}")


@pytest.mark.parametrize("split", ["a/b", "..", "train.extras", "mit Umlaut ä", "", "%2E"])
def test_split_names_never_leave_the_folder_or_collide(tmp_path, measurement, split):
    writer = RunWriter.create(tmp_path / "run", {"splits": [split, "train"]})
    arrays = {"train": {"x": np.ones(2)}, split: {"x": np.zeros(2)}}
    writer.append(0, None, {}, {split: measurement, "train": measured(seed=3)}, arrays)
    writer.save_gallery(split, np.ones((2, 3)))
    record = open_run(writer.path).records[0]
    assert record.measurement(split).to_dict() == measurement.to_dict()
    assert record.measurement("train").to_dict() == measured(seed=3).to_dict()
    assert record.extras(split)["x"].sum() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


# Chance bytes may look like text with a strange escape before they look like nothing.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_file_of_a_run_is_a_pickle(writer, measurement):
    writer.append(0, 0, {"x": 1.0}, {"train": measurement}, {"train": {"x": np.ones(3)}})
    writer.save_gallery("train", np.ones((2, 3)))
    writer.finish()
    files = [path for path in writer.path.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".jsonl", ".safetensors", ".lock"}
    assert len(files) == 7
    for path in files:
        with pytest.raises((ValueError, IndexError)):
            list(pickletools.genops(path.read_bytes()))
