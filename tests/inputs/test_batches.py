"""Data in every accepted shape arrive as the same batches; everything else gets one clear sentence."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
)

import phiscope
from phiscope.errors import EmptyDataError, InputError, ShapeError
from phiscope.inputs.batches import batches_of, known_length, peeked

N = 300
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (N,), generator=torch.Generator().manual_seed(1))
NET = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


class Streamed(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Rows(Dataset):
    """Samples as mappings; of different lengths where `ragged`."""

    def __init__(self, ragged=False):
        self.ragged = ragged

    def __len__(self):
        return N

    def __getitem__(self, k):
        return {"x": X[k][: 3 + k % 2] if self.ragged else X[k], "label": int(Y[k])}


class TableLike:
    """What Hugging Face's datasets look like from outside."""

    column_names = ("input", "labels")

    def with_format(self, kind):
        assert kind == "torch"
        return [{"input": x, "labels": y} for x, y in zip(X, Y, strict=True)]


def generator():
    for start in range(0, N, 50):
        yield X[start : start + 50], Y[start : start + 50]


SAME_DATA = {
    "pair of tensors": lambda: (X, Y),
    "pair of arrays": lambda: (X.numpy(), Y.numpy()),
    "array and list": lambda: (X.numpy(), Y.tolist()),
    "float64 array": lambda: (X.double().numpy(), Y.numpy()),
    "read-only array": lambda: (np.broadcast_to(X.numpy(), X.shape), Y.numpy()),
    "mapping of tensors": lambda: {"input": X, "labels": Y},
    "mapping by another name": lambda: {"image": X, "label": Y},
    "mapping and targets": lambda: ({"input": X}, Y),
    "dataset": lambda: TensorDataset(X, Y),
    "dataset of rows": Rows,
    "list of rows": lambda: [Rows()[k] for k in range(N)],
    "iterable dataset": Streamed,
    "table": TableLike,
    "loader": lambda: DataLoader(TensorDataset(X, Y), batch_size=37),
    "loader, last batch of one": lambda: DataLoader(TensorDataset(X, Y), batch_size=N - 1),
    "loader with workers": lambda: DataLoader(TensorDataset(X, Y), batch_size=64, num_workers=2),
    "loader without batches": lambda: DataLoader(list(generator()), batch_size=None),
    "list of batches": lambda: list(generator()),
    "generator": generator,
    "mapping batches": lambda: [{"input": x, "labels": y} for x, y in generator()],
    "batches as tuples of inputs": lambda: [((x,), y) for x, y in generator()],
}


@pytest.mark.parametrize("name", SAME_DATA)
def test_every_form_of_data_gives_the_same_measurement(name):
    measured = phiscope.measure(NET, SAME_DATA[name]())
    expected = phiscope.diagonalize(NET[:2](X), head=(NET[2].weight, NET[2].bias), targets=Y)
    assert measured.n_samples == N
    assert measured.n_classes == 3
    # Features agree to float32 rounding of different batch sizes; sums to float64.
    assert measured.to_dict() == pytest.approx(expected.to_dict(), rel=2e-4)


def test_control_other_data_give_another_measurement():
    measured = phiscope.measure(NET, (2 * X, Y)).to_dict()
    expected = phiscope.measure(NET, (X, Y)).to_dict()
    assert measured != pytest.approx(expected, rel=2e-4)


@pytest.mark.parametrize("data", [X, X.numpy(), (X,), (X, None), [X[:100], X[100:]], {"input": X}, TensorDataset(X)])
def test_inputs_alone(data):
    measured = phiscope.measure(NET, data)
    assert measured.n_samples == N
    assert measured.n_classes is None
    assert measured.provenance["targets"] == "none"


def test_a_pair_is_data_and_a_list_is_batches():
    assert len(list(batches_of((X, Y)))) == 2
    assert [len(batch) for batch in batches_of([X, X])] == [N, N]


@pytest.mark.parametrize("data", [[], DataLoader([]), iter(()), torch.empty(0, 4), (torch.empty(0, 4), torch.empty(0))])
def test_no_batch_is_an_error(data):
    with pytest.raises(EmptyDataError, match="no batch"):
        phiscope.measure(NET, data)


def test_a_used_up_generator_says_so():
    data = generator()
    list(data)
    with pytest.raises(EmptyDataError, match="used up"):
        phiscope.measure(NET, data)


def test_one_sample_is_an_error():
    with pytest.raises(EmptyDataError, match="1 sample came"):
        phiscope.measure(NET, (X[:1], Y[:1]))


@pytest.mark.parametrize("data", [3, None, "digits", X[0, 0]])
def test_what_is_no_data_is_an_error(data):
    with pytest.raises(InputError, match="expected a DataLoader"):
        phiscope.measure(NET, data)


def test_lengths_that_differ_are_an_error():
    with pytest.raises(ShapeError, match=r"differ in length: \[299, 300\]"):
        phiscope.measure(NET, (X, Y[:-1]))


def test_batches_of_three_parts_are_an_error():
    with pytest.raises(InputError, match="3 parts"):
        phiscope.measure(NET, TensorDataset(X, Y, Y))


def test_peeking_loses_nothing():
    first, stream = peeked(iter([1, 2, 3]))
    assert first == 1
    assert list(stream) == [1, 2, 3]


def test_known_length():
    assert known_length(DataLoader(TensorDataset(X), batch_size=100)) == 3
    assert known_length(generator()) is None


SET = TensorDataset(X)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_batch_without_samples_adds_nothing(place):
    batches = [(X[:50], Y[:50]), (X[50:], Y[50:])]
    batches.insert(place, (X[:0], Y[:0]))
    measured = phiscope.measure(NET, batches)
    assert measured["nc1"] == pytest.approx(phiscope.measure(NET, (X, Y))["nc1"], rel=1e-9)
    with pytest.raises(EmptyDataError, match="no batch"):
        phiscope.measure(NET, [(X[:0], Y[:0])])


def test_frames_are_data_sets():
    pandas = pytest.importorskip("pandas")
    frame, column = pandas.DataFrame(X.numpy()), pandas.Series(Y.numpy())
    expected = phiscope.measure(NET, (X, Y))
    assert phiscope.measure(NET, (frame, column))["nc1"] == pytest.approx(expected["nc1"], rel=1e-9)
    assert phiscope.measure(NET, frame)["effective_dimension"] == pytest.approx(
        expected["effective_dimension"], rel=1e-9
    )
    whole = pandas.DataFrame((10 * X).round().long().numpy())
    assert phiscope.measure(NET, whole).n_samples == N
    with pytest.raises(InputError, match=r"column 'label', which looks like the targets.*drop\(columns='label'\)"):
        phiscope.measure(NET, frame.assign(label=0))
    with pytest.raises(InputError, match="same index in another order"):
        phiscope.measure(NET, (frame, column[::-1]))
    with pytest.raises(InputError, match="same index in another order"):
        phiscope.measure(NET, frame, targets=column[::-1])
    with pytest.raises(InputError, match=r"a DataFrame with the columns.*not all of them numbers"):
        phiscope.measure(NET, frame.assign(name="a"))


def test_what_is_no_data_set_is_one_sentence():
    with pytest.raises(InputError, match=r"a list is a list of batches, so pass x and y as a tuple: \(x, y\)"):
        phiscope.measure(NET, [X, Y])
    with pytest.raises(InputError, match=r"several data sets; expected one of them, for example data\['train'\]"):
        phiscope.measure(NET, {"train": SET, "test": SET})


def test_two_inputs_as_a_whole_data_set():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NET

        def forward(self, a, b):
            return self.net(a - b)

    assert phiscope.measure(Two(), ((X, X / 2), Y))["nc1"] == pytest.approx(
        phiscope.measure(NET, (X / 2, Y))["nc1"], rel=1e-5
    )


def test_samples_of_different_lengths_are_one_sentence():
    with pytest.raises(InputError, match=r"samples of the data set make no batch, .*equal size.*collate_fn"):
        phiscope.measure(NET, Rows(ragged=True))


def test_a_single_row_is_no_data_and_a_list_of_rows_has_no_known_number_of_batches():
    with pytest.raises(InputError, match=r"whose target is a single number: it looks like one row; .*a list of rows"):
        phiscope.measure(NET, Rows()[0])
    rows = [Rows()[k] for k in range(N)]
    assert known_length(rows) is None
    assert [len(batch) for batch in batches_of(rows)] == [256, 44]
    # An empty text first does not make the others vanish.
    assert len(list(batches_of([[{"x": torch.zeros(0), "n": torch.tensor(0)}, {"x": torch.ones(0), "n": 1}]]))) == 1


class Adding(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, one, other):
        return self.head(torch.tanh(self.body(one + 2 * other)))


@pytest.mark.parametrize("form", [list, tuple])
def test_lists_of_arrays_are_several_inputs_and_several_targets(form):
    one, other = torch.randn(300, 4), torch.randn(300, 4)
    kinds, sizes = torch.arange(300) % 3, torch.randn(300)
    expected = phiscope.measure(Adding(), ((one, other), kinds)).to_dict()
    assert phiscope.measure(Adding(), (form([one, other]), kinds)).to_dict() == expected
    several = ((one, other), form([kinds, sizes]))
    chosen = phiscope.measure(Adding(), [several], targets=lambda batch: batch[1][0])
    assert chosen.to_dict() == pytest.approx(expected, rel=1e-6)
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    plain = phiscope.measure(net, (one, kinds)).to_dict()
    chosen = phiscope.measure(net, (one, form([kinds, sizes])), targets=lambda batch: batch[1][0])
    assert chosen.to_dict() == pytest.approx(plain, rel=1e-6)
    with pytest.raises(InputError, match=r"targets are a tuple of 2 Tensor.*targets=lambda batch"):
        phiscope.measure(net, (one, form([kinds, sizes])))


def test_a_list_of_a_row_each_stays_one_array():
    rows, kinds = [torch.randn(4) for _ in range(60)], torch.arange(60) % 3
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    values = phiscope.measure(net, (torch.stack(rows), [torch.ones(3) * index for index in range(60)]))
    assert values.n_samples == 60
    batches = ([torch.stack(rows[:30]), kinds[:30]], [torch.stack(rows[30:]), kinds[30:]])
    assert phiscope.measure(net, batches).n_samples == 60
