"""One raw batch as a model takes it: what is input, what is target, where targets come from."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.errors import InputError, ShapeError
from phiscope.network.batch import BatchReader, with_targets

N = 300
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (N,), generator=torch.Generator().manual_seed(1))
NET = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


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
