"""Reading what users hand in: the same numbers from every container; classes, counts and shares told apart."""

import numpy as np
import pytest
import scipy.sparse
import torch

import phiscope
from phiscope.errors import InputError, TargetError
from phiscope.inputs.arrays import as_array, as_count, as_rows, as_share, as_targets, as_weights, look_like_labels

VALUES = np.array([[1.0, -2.5], [0.0, 3.0], [7.0, 0.5]])


class OnlyArray:
    def __array__(self, dtype=None, copy=None):
        return VALUES


class OnlyDLPack:
    def __dlpack__(self, **options):
        return torch.tensor(VALUES).__dlpack__(**options)

    def __dlpack_device__(self):
        return torch.tensor(VALUES).__dlpack_device__()


@pytest.mark.parametrize(
    "given",
    [
        VALUES,
        VALUES.tolist(),
        torch.tensor(VALUES, requires_grad=True),
        torch.tensor(VALUES).bfloat16(),
        torch.tensor(VALUES).half(),
        [torch.tensor(row, requires_grad=True) for row in VALUES],
        OnlyArray(),
        OnlyDLPack(),
        VALUES.astype(np.longdouble),
    ],
    ids=["array", "lists", "tensor", "bfloat16", "float16", "list of tensors", "__array__", "dlpack", "longdouble"],
)
def test_every_container_gives_the_same_numbers(given):
    found = as_array(given, name="features")
    assert found.dtype.itemsize <= 8
    np.testing.assert_array_equal(found, VALUES)


def test_arrays_are_read_where_they_lie():
    assert np.shares_memory(as_rows(VALUES, name="features", letter="p"), VALUES)


@pytest.mark.parametrize(
    ("given", "kind", "shape"),
    [
        (np.array([0, 2, 1]), np.int64, (3,)),
        (np.array([[0], [2], [1]], dtype=np.uint8), np.int64, (3,)),
        (np.array([True, False, True]), np.int64, (3,)),
        (np.array([0.0, 1.0, 2.0]), np.float64, (3, 1)),
        (np.zeros((3, 2), dtype=np.float16), np.float64, (3, 2)),
    ],
)
def test_integers_are_classes_and_floats_are_values(given, kind, shape):
    found = as_targets(given)
    assert (found.dtype, found.shape) == (kind, shape)


def test_an_index_beyond_int64_does_not_become_negative():
    assert as_targets(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [2**63 - 1]
    with pytest.raises(TargetError, match="for one-hot rows pass"):
        as_targets(np.eye(3, dtype=int))


def test_weights_are_ones_or_what_was_given():
    assert as_weights(None, 3, batch=0).tolist() == [1.0, 1.0, 1.0]
    assert as_weights([0, 2, 1], 3, batch=0).dtype == np.float64


@pytest.mark.parametrize("value", [True, 1.0, "3", None, 0, -2])
def test_a_count_is_a_whole_number(value):
    with pytest.raises(InputError, match="expected a whole number of at least 1"):
        as_count(value, name="k")
    assert as_count(np.int8(3), name="k") == as_count(torch.tensor(3), name="k") == 3
    assert as_count(0, name="k", least=0) == 0


@pytest.mark.parametrize("value", [1, 1.5, -0.1, float("nan"), "0.5", None, [0.1, 0.2]])
def test_a_share_is_below_one(value):
    with pytest.raises(InputError, match="expected 0 <= tolerance < 1, for example 1e-6"):
        as_share(value, name="tolerance", example="1e-6")
    assert as_share(np.float32(0.5), name="tolerance", example="1e-6") == 0.5


def test_floats_that_name_classes_look_like_labels():
    assert look_like_labels(np.array([0.0, 2.0, 1.0, 1.0, 0.0])) == 3
    for values in ([0.0, 2.0, 2.0], [1.0, 2.0, 1.0], [0.0, 0.5, 1.0], [0.0, 0.0], np.arange(9.0)):
        assert look_like_labels(np.array(values)) == 0


@pytest.mark.parametrize("weights", [[1e82, 1e-82], [1.0, 1e-31, 0.0]])
def test_weights_too_far_apart_to_count_beside_each_other_are_refused(weights):
    with pytest.raises(InputError, match=r"a ratio beyond 1e\+30 .* give those weight 0"):
        as_weights(weights, len(weights), batch=0)
    assert as_weights([1e15, 1.1e-15, 0.0], 3, batch=0).tolist() == [1e15, 1.1e-15, 0.0]


def other_order(array):
    return array.astype(array.dtype.newbyteorder("S"))


FEATURES = np.random.default_rng(0).normal(size=(60, 5))
WEIGHT = np.random.default_rng(1).normal(size=(3, 5))
CLASSES = np.arange(60) % 3


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "i8", "u2", "u8"])
def test_the_byte_order_of_a_file_is_no_matter(dtype, tmp_path):
    values = np.abs(10 * FEATURES).astype(dtype)
    given = other_order(values)
    assert not given.dtype.isnative
    found = as_array(given, name="features")
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)
    np.save(tmp_path / "f.npy", given)
    expected = phiscope.diagonalize(values)["effective_dimension"]
    for rows in (given, np.load(tmp_path / "f.npy", mmap_mode="r")):
        assert phiscope.diagonalize(rows)["effective_dimension"] == pytest.approx(expected)


def test_every_argument_may_have_the_other_byte_order():
    weights, bias = np.linspace(1, 2, 60), np.arange(3.0)
    expected = phiscope.diagonalize(FEATURES, head=(WEIGHT, bias), targets=CLASSES, weights=weights)
    found = phiscope.diagonalize(
        other_order(FEATURES),
        other_order(FEATURES @ WEIGHT.T + bias),
        head=(other_order(WEIGHT), other_order(bias)),
        targets=other_order(CLASSES),
        weights=other_order(weights),
    )
    assert found["nc1"] == pytest.approx(expected["nc1"])
    assert found["dynamical_low_rank"] == pytest.approx(expected["dynamical_low_rank"])
    assert expected.eigenfunctions(other_order(FEATURES)) == pytest.approx(expected.eigenfunctions(FEATURES))
    assert phiscope.compare(other_order(FEATURES), FEATURES).cka == pytest.approx(1.0)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_is_read_as_an_array():
    """What ``todense`` of a sparse matrix gives: ``*`` of two is their product, and a single row stays a matrix."""
    weights, bias = np.linspace(1, 2, 60), np.arange(3.0)
    given = {"head": (WEIGHT, bias), "targets": CLASSES, "weights": weights}
    expected = phiscope.diagonalize(FEATURES, FEATURES @ WEIGHT.T + bias, **given)
    for turned in (lambda row: row, lambda row: row.T):
        found = phiscope.diagonalize(
            np.matrix(FEATURES),
            np.matrix(FEATURES @ WEIGHT.T + bias),
            head=(np.matrix(WEIGHT), turned(np.matrix(bias))),
            targets=turned(np.matrix(CLASSES)),
            weights=turned(np.matrix(weights)),
        )
        assert found.to_dict() == expected.to_dict()
    values = phiscope.diagonalize(FEATURES, targets=np.matrix(FEATURES[:, 0]).T)
    assert values["readout_r2"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (scipy.sparse.csr_array(FEATURES), "a sparse csr_array, pass its toarray"),
        (scipy.sparse.coo_matrix(FEATURES), "a sparse coo_matrix, pass its toarray"),
        (
            np.array({"train": FEATURES, "test": FEATURES}),
            "a single dict with the keys train, test, take the array out",
        ),
        (np.array(FEATURES[0, 0], dtype=object), "a single float"),
        (np.array([["a", 1.0], [None, 2.0]], dtype=object), "Python objects .NoneType, float, str."),
    ],
    ids=["csr", "coo", "dict", "number", "mixed"],
)
@pytest.mark.parametrize("place", ["features", "outputs", "targets", "weights", "head"])
def test_what_holds_no_numbers_is_named_with_the_way_out(given, words, place):
    arguments = {"features": FEATURES} | ({"head": (given, None)} if place == "head" else {place: given})
    with pytest.raises(InputError, match=words) as caught:
        phiscope.diagonalize(**arguments)
    assert "\n" not in str(caught.value)
