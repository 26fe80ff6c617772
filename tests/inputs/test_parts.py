"""Parts of a raw batch become tensors, or are described in words."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from phiscope.errors import InputError
from phiscope.inputs.parts import (
    as_tensor,
    check_equal_lengths,
    columns_of,
    described,
    is_frame,
    is_rows,
    is_sample,
    perhaps_classes,
)

ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize(
    "value",
    [
        ROWS,
        tuple(map(tuple, ROWS)),
        np.array(ROWS, dtype=">f8"),
        np.array(ROWS, dtype=">f4"),
        np.asfortranarray(ROWS),
        np.array(ROWS)[::-1][::-1],
        torch.tensor(ROWS),
        # Rows that are lists, as `default_collate` turns them: column by column; and as they are.
        [torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 4.0, 6.0])],
        [torch.tensor(row) for row in ROWS],
    ],
)
def test_numbers_in_any_form_are_the_same_tensor(value):
    tensor = as_tensor(value, n=3)
    assert tensor.shape == (3, 2)
    assert tensor.double().tolist() == ROWS


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_an_array():
    assert as_tensor(np.asmatrix(ROWS)).tolist() == ROWS


def test_a_frame_and_a_column():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=["a", "b"])
    assert as_tensor(frame).tolist() == ROWS
    assert as_tensor(frame["a"]).tolist() == [1, 3, 5]
    assert is_frame(frame)
    assert not is_frame(frame["a"])
    assert as_tensor(frame.assign(c=["x", "y", "z"])) is None
    assert described(frame) == "a DataFrame with the columns 'a', 'b'"


def test_read_only_memory_is_copied():
    array = np.arange(4.0)
    array.flags.writeable = False
    as_tensor(array)[0] = 7
    assert array[0] == 0


@pytest.mark.parametrize(
    "value", [["a", "b"], "text", b"bytes", {"a": 1}, None, [], [[1, 2], [3]], object(), np.array(["a"]), [None, 1]]
)
def test_what_holds_no_numbers_is_none(value):
    assert as_tensor(value) is None


def test_a_list_of_tensors_that_may_be_read_in_two_ways_is_not_read():
    square = [torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])]
    assert as_tensor(square, n=2) is None
    assert as_tensor(square) is None
    assert as_tensor(square, n=5) is None
    assert as_tensor([torch.tensor(1), torch.tensor(2)]).tolist() == [1, 2]
    nested = [[torch.arange(4.0) + 10 * row + column for column in range(3)] for row in range(2)]
    assert as_tensor(nested, n=4).shape == (4, 2, 3)
    assert as_tensor(nested, n=4)[3, 1, 2] == 15
    assert as_tensor([torch.zeros(3, 8, 8)] * 5, n=5).shape == (5, 3, 8, 8)


def test_rows_in_python_form():
    rows = [{"x": [1, 2], "y": 0}, {"x": [3, 4], "y": 1}]
    assert is_rows(rows)
    assert columns_of(rows) == {"x": [[1, 2], [3, 4]], "y": [0, 1]}
    assert not is_rows([{"x": 1}, {"z": 1}])
    assert not is_rows([])
    assert not is_rows([1, 2])


def test_rows_of_tensors_become_tensors_with_rows_first():
    square = [
        {"x": torch.tensor([1.0, 2.0]), "y": torch.tensor(0)},
        {"x": torch.tensor([3.0, 4.0]), "y": torch.tensor(1)},
    ]
    assert columns_of(square)["x"].tolist() == [[1, 2], [3, 4]]
    assert columns_of(square)["y"].tolist() == [0, 1]
    mixed = columns_of([{"x": torch.tensor([1.0, 2.0])}, {"x": np.array([3.0, 4.5])}, {"x": [5, 6]}])["x"]
    assert (mixed.dtype, mixed.tolist()) == (torch.float64, [[1, 2], [3, 4.5], [5, 6]])
    assert columns_of([{"in": {"x": torch.zeros(3)}}] * 2)["in"]["x"].shape == (2, 3)
    ragged = columns_of([{"x": torch.zeros(3), "name": "a"}, {"x": torch.zeros(4), "name": "b"}])
    assert isinstance(ragged["x"], list)
    assert ragged["name"] == ["a", "b"]


def test_one_row_is_told_from_a_batch_by_its_target():
    assert is_sample({"x": torch.zeros(3), "labels": torch.tensor(1)})
    assert is_sample({"x": [1, 2], "label": np.int64(1)})
    assert not is_sample({"x": torch.zeros(1, 3), "labels": torch.tensor([1])})
    assert not is_sample({"x": torch.zeros(3)})
    assert not is_sample((torch.zeros(3), 1))


def test_columns_of_different_lengths_are_named():
    check_equal_lengths({"x": [[1, 2], [3, 4]], "name": ["a", "bc"], "y": torch.zeros(2)})
    with pytest.raises(InputError, match=r"the shape of 'x' \(\(1,\), \(2,\)\); .*collate_fn"):
        check_equal_lengths({"name": ["a", "bc"], "x": [[1, 2], [3]]})


@dataclass
class Graph:
    x: int
    y: int


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 3), "a Tensor torch.float32 of shape (2, 3)"),
        (np.zeros(2), "a ndarray float64 of shape (2,)"),
        ({"kind": 1, "size": 2}, "a dict with the keys 'kind', 'size'"),
        (Graph(1, 2), "a Graph with the fields 'x', 'y'"),
        (["a", "b"], "a list of 2 str"),
        (["a", 1], "a list of 2 str and int"),
        (Pair(1, 2), "a Pair of 2 int"),
        ({str(k): k for k in range(12)}, "and 4 more"),
        (3, "an int"),
    ],
)
def test_what_came_in_words(value, words):
    assert words in described(value)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (torch.tensor([0, 1, 0]), True),
        ([0, 1, 0], True),
        (np.array([True, False, True]), True),
        (torch.tensor([7, 8, 9]), False),  # a number of its own for each
        (torch.tensor([0.5, 0.5, 1.0]), False),
        (torch.tensor([[0, 1], [0, 1], [1, 1]]), False),
        (torch.tensor([0, 0]), False),
        (["a", "b", "a"], False),
        (None, False),
    ],
)
def test_what_may_be_the_class_of_each_sample(values, classes):
    assert perhaps_classes({"kind": values}, ("kind",), 3) == ("kind" if classes else None)
    for name in ("lengths", "sample_weight", "group", "idx", "mask"):
        assert perhaps_classes({name: values}, (name,), 3) is None
