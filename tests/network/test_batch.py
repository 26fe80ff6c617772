"""One raw batch as a model takes it: what is input, what is target, where targets come from."""

from collections import UserDict

import numpy as np
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


EXTRAS = {
    "index": torch.arange(N),
    "path": ["a.png"] * N,
    "mask": torch.ones(N, 4),
    "weight": torch.rand(N),
}


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = NET

    def forward(self, image):
        return self.net(image)


@pytest.mark.parametrize("key", ["image", "x", "pixel_values", "anything"])
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("model", [NET, Named()], ids=["any name", "image"])
def test_keys_that_the_model_does_not_take_are_left_out(key, extra, model):
    if key == "anything" and extra == "mask":
        return  # two arrays of that kind, and no name to tell them apart
    measured = phiscope.measure(model, [{key: X, "label": Y, extra: EXTRAS[extra]}])
    assert measured["nc1"] == phiscope.measure(NET, (X, Y))["nc1"]
    assert extra in measured.provenance["ignored_inputs"]


class WantsAll(nn.Module):
    """Takes the whole batch, as training modules often do."""

    def __init__(self):
        super().__init__()
        self.net = NET

    def forward(self, batch):
        assert set(batch) == {"x", "y"}
        return self.net(batch["x"])


def test_a_parameter_called_batch_takes_the_whole_mapping():
    assert phiscope.measure(WantsAll(), [{"x": X, "y": Y}])["nc1"] == phiscope.measure(NET, (X, Y))["nc1"]


NAMES = ["ant", "bee", "cow"]
UNREADABLE = {
    "strings": ((X, [NAMES[k] for k in Y]), lambda b: [NAMES.index(w) for w in b[1]], "a list of 300 str"),
    "tasks": ((X, {"kind": Y, "size": X[:, 0]}), lambda b: b[1]["kind"], "a dict with the keys 'kind', 'size'"),
    "a pair of tasks": ((X, (Y, X[:, 0])), lambda b: b[1][0], "a tuple of 2 Tensor"),
    "three parts": ((X, Y, torch.arange(N)), lambda b: b[1], "3 parts"),
    "strings by name": (
        {"x": X, "label": [NAMES[k] for k in Y]},
        lambda b: [NAMES.index(w) for w in b["label"]],
        "str",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_targets_that_the_caller_gives_are_asked_before_anything_is_refused(name):
    batch, read, words = UNREADABLE[name]
    expected = phiscope.measure(NET, (X, Y))["nc1"]
    for targets in (read, Y, Y.tolist()):
        assert phiscope.measure(NET, [batch], targets=targets)["nc1"] == expected
        assert phiscope.measure_layers(NET, [batch], targets=targets)["2"]["nc1"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InputError, match=words) as caught:
        phiscope.measure(NET, [batch])
    assert "targets=lambda batch:" in str(caught.value)


def test_what_holds_no_samples_is_named():
    with pytest.raises(InputError, match="a batch is a str, in which no tensor"):
        phiscope.measure(NET, ["text"])
    with pytest.raises(InputError, match="a dict with the keys 'a', 'b'"):
        phiscope.measure(NET, [{"a": "text", "b": "more"}])


@pytest.mark.parametrize("kind", ["list", "lists by name", "rows", ">f4", "collated"])
def test_inputs_in_any_form(kind):
    batch = {
        "list": (X.tolist(), Y.tolist()),
        "lists by name": {"x": X.tolist(), "label": Y.tolist()},
        "rows": [{"x": x.tolist(), "label": int(y)} for x, y in zip(X, Y, strict=True)],
        ">f4": (X.numpy().astype(">f4"), Y.numpy().astype(">i4")),
        "collated": {"x": list(X.T.double()), "label": Y},
    }[kind]
    assert phiscope.measure(NET, [batch])["nc1"] == pytest.approx(phiscope.measure(NET, (X, Y))["nc1"], rel=1e-6)


def rows_of(kind):
    """The samples of X and Y as a Trainer's data hold them: one mapping each."""
    torch_rows = [{"x": x, "label": y} for x, y in zip(X, Y, strict=True)]
    if kind == "mixed":
        return [
            {"x": row["x"] if k % 2 else row["x"].numpy(), "label": int(row["label"])}
            for k, row in enumerate(torch_rows)
        ]
    made = {
        "tensors": lambda row: row,
        "NumPy": lambda row: {key: value.numpy() for key, value in row.items()},
        "Python": lambda row: {key: value.tolist() for key, value in row.items()},
        "tensor beside int": lambda row: {"x": row["x"], "label": int(row["label"]), "id": "a name"},
        "own mapping": UserDict,
    }[kind]
    return [made(row) for row in torch_rows]


@pytest.mark.parametrize("kind", ["tensors", "NumPy", "Python", "tensor beside int", "mixed", "own mapping"])
def test_rows_are_read_as_one_batch_and_as_data(kind):
    rows = rows_of(kind)
    expected = phiscope.measure(NET, [(X, Y)]).to_dict()
    for data in ([rows], [(rows, Y)], rows, [rows[:4], rows[4:]]):
        measured = phiscope.measure(NET, data)
        assert measured.n_samples == N
        assert measured.to_dict() == pytest.approx(expected, rel=1e-4)
    # As many rows as inputs each: nothing can be taken for columns.
    few = phiscope.measure(NET, [rows[:4]], targets=lambda batch: [row["label"] for row in batch])
    assert few.to_dict() == pytest.approx(phiscope.measure(NET, [(X[:4], Y[:4])]).to_dict(), rel=1e-4)


@pytest.mark.parametrize("form", [list, torch.tensor])
def test_rows_of_different_lengths_are_one_sentence(form):
    rows = [{"x": form([1.0] * (3 + k % 2)), "label": 0} for k in range(6)]
    for data in ([rows], rows, [([{"x": row["x"]} for row in rows], Y[:6])]):
        with pytest.raises(InputError, match=r"the rows differ in the shape of 'x' \(\(3,\), \(4,\)\).*collate_fn"):
            phiscope.measure(NET, data)
    # What the model does not take may be of any length.
    spare = [{"x": x, "label": y, "boxes": torch.zeros(k % 3)} for k, (x, y) in enumerate(zip(X, Y, strict=True))]
    assert phiscope.measure(NET, [spare]).n_samples == N


@pytest.mark.parametrize("sample", [(X[0], Y[0]), {"x": X[0], "label": Y[0]}, {"x": X[0].tolist(), "label": 1}])
def test_a_single_sample_is_no_batch(sample):
    with pytest.raises(InputError, match=r"whose target is a single number: it looks like one sample; .*DataLoader"):
        phiscope.measure(NET, iter([sample] * 3))


@pytest.mark.parametrize("of", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("to", [torch.bfloat16, torch.float32, torch.float64])
def test_floating_inputs_become_the_models_type_and_others_stay(of, to):
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(to)
    assert phiscope.measure(net, (X.to(of), Y)).n_samples == N
    read = BatchReader(net, None, to)({"input": {"deep": (X.to(of),)}, "labels": Y})
    assert read.kwargs["input"]["deep"][0].dtype == to
    assert BatchReader(net, None, to)((Y, Y)).args[0].dtype == torch.int64
    assert BatchReader(nn.Flatten(), None, torch.float32)(X.double()).args[0].dtype == torch.float64


@pytest.mark.parametrize("label", [255, 7])
def test_one_label_beyond_the_classes_is_named(label):
    with pytest.raises(phiscope.PhiscopeError, match=rf"the label {label}, \d+ times.*-100") as caught:
        phiscope.measure(NET, (X, torch.where(Y == 0, label, Y)))
    assert f"== {label}, -100, batch[1])" in str(caught.value)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("outputs", [3, 9])
def test_values_in_the_layout_of_the_output(dims, outputs):
    # With nine outputs and nine positions the lengths coincide, and the layout decides.
    kind, size = (nn.Conv1d, (9,)) if dims == 1 else (nn.Conv2d, (9, 4))
    torch.manual_seed(0)
    net = nn.Sequential(kind(1, 12, 3, padding=1), nn.Tanh(), kind(12, outputs, 1)).eval()
    x = torch.randn(40, 1, *size)
    y = net(x).detach()
    given = {"as the output": y, "flattened": y.flatten(1)}
    if outputs != size[0]:
        given["channels last"] = y.movedim(1, -1)
    for name, targets in given.items():
        measured = phiscope.measure(net, [(x, targets)])
        assert measured["readout_r2"] == pytest.approx(1, abs=1e-9), name
        assert measured["head_excess_loss"] == pytest.approx(0, abs=1e-9), name


def test_floats_that_look_like_classes_are_doubted_everywhere(tmp_path):
    features = NET[:2](X).detach()
    with phiscope.Observer(NET, (X, Y.float()), run=tmp_path / "r") as observer:
        seen = observer.record(epoch=0)
    for measured in (
        phiscope.diagonalize(features, targets=Y.float()),
        phiscope.measure(NET, (X, Y.float())),
        phiscope.measure(NET, DataLoader(TensorDataset(X, Y.float()), 7)),
        phiscope.measure_layers(NET, (X, Y.float()))["2"],
        seen,
    ):
        assert sum("whole numbers 0 to 2" in warning for warning in measured.warnings) == 1
    for targets in (Y, Y + 0.5):
        assert not any("whole numbers" in warning for warning in phiscope.measure(NET, (X, targets)).warnings)
    # What a binary cross-entropy takes is no mistake.
    binary = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))
    assert not any("whole numbers" in w for w in phiscope.measure(binary, (X, (Y > 0).float()[:, None])).warnings)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_batches_of_the_other_byte_order_are_read_as_any_other(tmp_path, kind):
    """FITS, IDX and HDF5 files of other machines; torch refuses such arrays."""
    x, y = X.numpy().astype(f"<{kind}"), Y.numpy()
    expected = phiscope.measure(NET, [(x, y)]).to_dict()
    big_x, big_y = x.astype(f">{kind}"), y.astype(">i4")
    np.save(tmp_path / "x.npy", big_x)
    ways = {
        "batches": ([(big_x, big_y)], None),
        "mapping": ([{"input": big_x, "labels": big_y}], None),
        "whole": ((big_x, big_y), None),
        "memory map": ((np.load(tmp_path / "x.npy", mmap_mode="r"), big_y), None),
        "targets": ([big_x], big_y),
        "callable": ([big_x], lambda batch: big_y),
        "nested": ([((big_x,), big_y)], None),
    }
    for name, (data, targets) in ways.items():
        # One pass in several batches rounds in another order than a single one.
        assert phiscope.measure(NET, data, targets=targets).to_dict() == pytest.approx(expected, rel=1e-4), name
    assert all(m.n_samples == N for m in phiscope.measure_layers(NET, (big_x, big_y)).values())


@pytest.mark.parametrize("place", ["inputs", "targets"])
def test_masked_entries_of_batches_are_refused(place):
    x, y = X.numpy(), Y.numpy()
    mask = np.arange(N) == 4
    masked = {
        "inputs": (np.ma.MaskedArray(x, np.tile(mask[:, None], 4)), y),
        "targets": (x, np.ma.MaskedArray(y, mask)),
    }
    words = "a part of the batch" if place == "inputs" else place
    with pytest.raises(InputError, match=f"{words}: 1 of 300 rows .*the first is row 4"):
        phiscope.measure(NET, [masked[place]])
    assert phiscope.measure(NET, [(x, y)]).n_samples == N


class Mixed(nn.Module):
    """A number in double precision beside layers in single precision, or layers of two precisions."""

    def __init__(self, other, body):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.6, dtype=other))
        self.body, self.head = nn.Linear(4, 6, dtype=body), nn.Linear(6, 3, dtype=body)

    def forward(self, x):
        return self.head(self.body(x).tanh())


@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_inputs_keep_a_type_that_the_model_has_and_take_that_of_most_parameters_else(given):
    measured = phiscope.measure(Mixed(torch.float64, torch.float32), torch.randn(30, 4, dtype=given))
    assert measured.provenance["precision"] == "torch.float32"


def test_layers_in_single_precision_before_layers_in_half_get_single_precision():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.body, self.head = nn.LayerNorm(4), nn.Linear(4, 60).bfloat16(), nn.Linear(60, 3).bfloat16()

        def forward(self, x):
            return self.head(self.body(self.norm(x.float()).bfloat16()).tanh())

    for given in (torch.float32, torch.bfloat16):
        assert phiscope.measure(Two(), torch.randn(70, 4, dtype=given)).n_samples == 70


@pytest.mark.parametrize("layers", [False, True])
def test_values_in_half_precision_are_targets(layers):
    net, x = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(60, 4)
    values = torch.randn(60).bfloat16()
    call = phiscope.measure_layers if layers else phiscope.measure
    assert call(net, (x, values)) is not None


class NeedsItsTargets(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, y):
        logits = self.net(x)
        return {"loss": nn.functional.cross_entropy(logits, y), "logits": logits}


MISSED = {
    "a key of the caller's": ({"x": torch.randn(60, 6), "topic": torch.arange(60) % 3}, "topic", False),
    "an input that is needed": ({"x": torch.randn(60, 6), "y": torch.arange(60) % 3}, "y", True),
}


@pytest.mark.parametrize("name", MISSED)
def test_classes_under_a_name_that_is_not_read_are_warned_of(name):
    data, key, needed = MISSED[name]
    net = NeedsItsTargets() if needed else NeedsItsTargets().net
    words = f"no targets were read, so outputs are taken as they are; if {key!r} has the classes"
    for measured in (phiscope.measure(net, [data]), list(phiscope.measure_layers(net, [data]).values())[-1]):
        assert [text for text in measured.warnings if words in text]
    told = phiscope.measure(net, [data], targets=lambda batch: batch[key])
    by_hand = phiscope.measure(NeedsItsTargets().net, (data["x"], data[key]))
    assert told.to_dict() == pytest.approx(by_hand.to_dict(), rel=1e-6)
    assert not [text for text in told.warnings if "no targets" in text]
    # Who says that there are none has said so.
    unasked = phiscope.measure(net, [data], targets=lambda batch: None)
    assert not [text for text in unasked.warnings if "no targets" in text]


def test_rows_with_such_a_key_are_told_the_usual_name():
    rows = [{"x": row, "topic": index % 3} for index, row in enumerate(torch.randn(40, 6))]
    (text,) = [text for text in phiscope.measure(NeedsItsTargets().net, [rows]).warnings if "no targets" in text]
    assert "call it 'labels'" in text
