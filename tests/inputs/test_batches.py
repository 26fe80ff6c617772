"""Data in every accepted shape arrive as the same batches; everything else gets one clear sentence."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import phiscope
from phiscope.errors import EmptyDataError, InputError, ShapeError
from phiscope.inputs.batches import batches_of, is_shuffling, known_length, peeked
from phiscope.network.batch import BatchReader, with_targets

N = 300
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (N,), generator=torch.Generator().manual_seed(1))
NET = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


class Streamed(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


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


def test_known_length_and_shuffling():
    loader = DataLoader(TensorDataset(X), batch_size=100, shuffle=True)
    assert known_length(loader) == 3
    assert known_length(generator()) is None
    assert is_shuffling(loader)
    assert not is_shuffling(DataLoader(TensorDataset(X)))
    assert not is_shuffling(X)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, left, right, scale=1.0):
        return self.fc(torch.relu(left * scale - right))


def test_two_inputs_by_position_and_by_name():
    net = TwoInputs()
    by_position = phiscope.measure(net, [((X, X.flip(0)), Y % 2)])
    by_name = phiscope.measure(net, [{"left": X, "right": X.flip(0), "labels": Y % 2, "index": Y}])
    assert by_position.to_dict() == by_name.to_dict()
    assert by_name.provenance["ignored_inputs"] == "index"
    scaled = phiscope.measure(net, [{"left": X, "right": X.flip(0), "scale": 2.0, "labels": Y % 2}])
    assert scaled["effective_dimension"] != by_name["effective_dimension"]


class TakesLabels(nn.Module):
    """Would compute a loss and remember it, as transformers' models remember the problem type."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.saw_labels = False

    def forward(self, x=None, labels=None):
        self.saw_labels |= labels is not None
        return {"loss": torch.tensor(0.0), "logits": self.fc(torch.tanh(x))}


def test_labels_do_not_go_into_the_model():
    net = TakesLabels()
    assert phiscope.measure(net, {"x": X, "labels": Y}).n_classes == 3
    assert not net.saw_labels


class TakesMapping(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, batch):
        return self.fc(torch.tanh(batch["a"] + batch["b"]))


def test_a_model_may_take_the_mapping_itself():
    assert phiscope.measure(TakesMapping(), {"a": X, "b": X, "labels": Y}).n_samples == N


@pytest.fixture
def reader():
    return BatchReader(NET, torch.device("cpu"), torch.float32)


def test_targets_from_an_array_follow_the_batches(reader):
    parts = [batch.targets for batch in with_targets(iter([X[:200], X[200:]]), reader, Y)]
    assert torch.equal(torch.cat(parts), Y)


@pytest.mark.parametrize("count", [N - 1, N + 1])
def test_targets_of_another_length_are_an_error(count):
    targets = torch.zeros(count)
    with pytest.raises(ShapeError, match=f"{count} targets"):
        phiscope.measure(NET, X, targets=targets)


def test_targets_from_a_function_of_the_batch():
    by_function = phiscope.measure(NET, (X, Y), targets=lambda batch: batch[1])
    assert by_function.to_dict() == phiscope.measure(NET, (X, Y)).to_dict()
    assert phiscope.measure(NET, (X, Y), targets=lambda batch: batch[0][:, :2]).n_classes is None


def test_targets_as_an_array_refuse_a_shuffling_loader():
    with pytest.raises(InputError, match="shuffle=False"):
        phiscope.measure(NET, DataLoader(TensorDataset(X), shuffle=True), targets=Y)


def test_targets_that_are_no_numbers():
    with pytest.raises(phiscope.errors.PhiscopeError, match="targets"):
        phiscope.measure(NET, X, targets=["a"] * N)
