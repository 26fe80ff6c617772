"""The kept samples of a run: what was written comes back, and what is damaged is one sentence."""

import numpy as np
import pytest

from phiscope.archive import write_arrays
from phiscope.errors import RunFormatError
from phiscope.runs.gallery import read_gallery

INPUTS = np.arange(12.0).reshape(3, 4)


def test_no_file_is_no_gallery(tmp_path):
    assert read_gallery(tmp_path / "none.safetensors") is None


def test_what_was_written_comes_back(tmp_path):
    path = tmp_path / "g.safetensors"
    words = [["a", "b", "c"], ["", "d", ""], ["e", "f", "g"]]
    write_arrays(path, {"inputs": INPUTS, "targets": np.arange(3)}, {"words": words})
    kept = read_gallery(path)
    assert np.array_equal(kept.inputs, INPUTS)
    assert kept.targets.tolist() == [0, 1, 2]
    assert kept.words == (("a", "b", "c"), ("", "d", ""), ("e", "f", "g"))


@pytest.mark.parametrize(
    ("arrays", "facts", "sentence"),
    [
        ({"targets": np.arange(3)}, {}, "holds no inputs"),
        ({"inputs": INPUTS, "targets": np.arange(2)}, {}, "it is damaged"),
        ({"inputs": INPUTS}, {"words": [["a", "b", "c"]]}, "words that are no text"),
        ({"inputs": INPUTS}, {"words": [["a", "b"], ["a", "b"], ["a", "b"]]}, "words that are no text"),
        ({"inputs": INPUTS}, {"words": "abc"}, "words that are no text"),
    ],
)
def test_damage_is_one_sentence(tmp_path, arrays, facts, sentence):
    path = tmp_path / "g.safetensors"
    write_arrays(path, arrays, facts)
    with pytest.raises(RunFormatError, match=sentence):
        read_gallery(path)
