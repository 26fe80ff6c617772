"""The observer: does not change the training, stores what it measured, says what it cost."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.errors import HeadError, InputError, NonFiniteError, RunExistsError
from small_training import X, Y, network
from untouched import untouched


def loader(workers=0, persistent=False):
    return DataLoader(
        TensorDataset(X, Y), batch_size=20, shuffle=True, num_workers=workers, persistent_workers=persistent
    )


def trained(record, *, workers=0, persistent=False, epochs=3):
    """Train from a fixed seed; `record(model, loader)` returns what is called after each epoch and in its middle."""
    torch.manual_seed(0)
    net = network()
    data = loader(workers, persistent)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    note = record(net, data)
    for epoch in range(epochs):
        net.train()
        for index, (x, y) in enumerate(data):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            if index == 2:
                note(epoch + 0.5)
            optimizer.step()
        note(epoch + 1)
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def differing(a, b):
    return sorted(name for name in a if not torch.equal(a[name], b[name]))


@pytest.mark.parametrize(
    ("workers", "persistent"), [(0, False), pytest.param(2, False, marks=pytest.mark.slow), (2, True)]
)
def test_training_with_and_without_observer_ends_in_identical_bits(tmp_path, workers, persistent):
    def observed(net, data):
        observer = phiscope.Observer(
            net,
            {"train": data, "test": DataLoader(TensorDataset(X, Y), batch_size=7, shuffle=True)},
            run=tmp_path / "r",
            every=[half / 2 for half in range(7)],  # "epoch" measures nothing in the middle of one
        )
        return lambda epoch: observer.record(epoch=epoch)

    options = {"workers": workers, "persistent": persistent}
    plain = trained(lambda net, data: lambda epoch: None, **options)
    assert differing(trained(observed, **options), plain) == []
    assert [tuple(record.splits) for record in phiscope.open_run(tmp_path / "r").records] == [("train", "test")] * 6


CARELESS = {
    "leaves eval mode on": lambda net, data: net.eval(),
    "runs in train mode": lambda net, data: net(X),
    "walks through the loader": lambda net, data: list(data),
    "draws a random number": lambda net, data: torch.rand(1),
    "steps on the weights": lambda net, data: net[0].weight.data.mul_(1 + 1e-6),
}


@pytest.mark.parametrize("name", CARELESS)
def test_control_a_careless_observer_changes_the_bits(name):
    careless = CARELESS[name]
    plain = trained(lambda net, data: lambda epoch: None)
    assert differing(trained(lambda net, data: lambda epoch: careless(net, data)), plain) != []


@pytest.fixture
def net():
    torch.manual_seed(0)
    return network()


@pytest.fixture
def probe():
    return {"train": (X, Y), "test": (X[:30], Y[:30])}


def test_a_record_is_what_measure_says(net, probe, tmp_path):
    with phiscope.Observer(net, probe, run=tmp_path / "r") as observer, untouched(net):
        first = observer.record(epoch=0, train_loss=1.5, test_accuracy=torch.tensor(0.25, requires_grad=True))
    run = phiscope.open_run(tmp_path / "r")
    assert list(run.splits) == ["train", "test"]
    assert run.records[0].scalars == {"train_loss": 1.5, "test_accuracy": 0.25}
    for split, data in probe.items():
        stored = run.records[0].measurement(split)
        expected = phiscope.measure(net, data).to_dict() | {
            "initial_kernel_similarity": 1.0,
            "initial_kernel_similarity_raw": 1.0,
        }
        assert stored.to_dict() == pytest.approx(expected, rel=1e-12)
        assert stored.provenance["split"] == split
    assert first.to_dict() == run.records[0].measurement("train").to_dict()
    # The initial state itself: nothing has been learned, whatever the word.
    assert first.evidence.is_start
    assert first.regime != "coefficient"


def test_a_single_probe_is_called_probe(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
    assert list(phiscope.open_run(tmp_path / "r").splits) == ["probe"]


def test_generators_are_kept_for_every_record(net, tmp_path):
    def batches():
        yield X[:50], Y[:50]
        yield X[50:], Y[50:]

    with phiscope.Observer(net, batches(), run=tmp_path / "r") as observer:
        assert [observer.record(epoch=epoch).n_samples for epoch in range(2)] == [96, 96]


def test_the_schedule_decides_and_scalars_stay(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", every=2) as observer:
        told = [observer.record(epoch=epoch, loss=epoch) is not None for epoch in range(4)]
        assert observer.cost.records == 2
    assert told == [True, False, True, False]
    run = phiscope.open_run(tmp_path / "r")
    assert [record.scalars["loss"] for record in run.records] == [0, 1, 2, 3]
    assert [len(record.splits) for record in run.records] == [1, 0, 1, 0]


def test_without_an_epoch_steps_or_calls_are_counted(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", every=[0, 100]) as observer:
        assert observer.record() is not None
        assert observer.record(step=50) is None
        assert observer.record(step=100) is not None
    records = phiscope.open_run(tmp_path / "r").records
    assert [(record.epoch, record.step) for record in records] == [(0, None), (50, 50), (100, 100)]


def test_the_initial_state_is_the_one_at_construction(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    state = {name: tensor.clone() for name, tensor in net.named_parameters()}
    with torch.no_grad():
        net[0].weight.add_(torch.randn_like(net[0].weight))
    moved = observer.record(epoch=1)["initial_kernel_similarity"]
    assert moved < 0.999
    given = phiscope.Observer(net, (X, Y), run=tmp_path / "given", initial=state).record(epoch=1)
    assert given["initial_kernel_similarity"] == pytest.approx(moved)
    none = phiscope.Observer(net, (X, Y), run=tmp_path / "none", initial=None).record(epoch=1)
    assert "initial_kernel_similarity" not in none
    with pytest.raises(InputError, match="initial="):
        phiscope.Observer(net, (X, Y), run=tmp_path / "bad", initial="then")


def test_a_diverged_network_leaves_its_scalars(net, tmp_path):
    def diverging():
        with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
            observer.record(epoch=0, loss=1.0)
            nn.init.constant_(net[0].weight, float("nan"))
            observer.record(epoch=1, loss=float("nan"))

    with pytest.raises(NonFiniteError):
        diverging()
    run = phiscope.open_run(tmp_path / "r")
    assert run.status == "failed"
    assert run.reason.startswith("NonFiniteError: ")
    assert [len(record.splits) for record in run.records] == [1, 0]
    assert np.isnan(run.records[1].scalars["loss"])


def test_a_forward_that_fails_leaves_its_scalars_to_who_goes_on(net, tmp_path):
    def full(layer, given):
        raise RuntimeError("out of memory")

    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0, loss=1.0)
        hook = net[0].register_forward_pre_hook(full)
        with pytest.raises(RuntimeError, match="out of memory"):
            observer.record(epoch=1, loss=0.5)
        hook.remove()
        observer.record(epoch=2, loss=0.25)
    records = phiscope.open_run(tmp_path / "r").records
    assert [(record.scalars["loss"], len(record.splits)) for record in records] == [(1.0, 1), (0.5, 0), (0.25, 1)]


def test_a_head_that_starts_at_zero_is_recorded(net, tmp_path):
    nn.init.zeros_(net[-1].weight)
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
        nn.init.ones_(net[-1].weight[:1])
        observer.record(epoch=1)
    stored = phiscope.open_run(tmp_path / "r").records[1].measurement("probe")
    assert stored.evidence.head_change == np.inf
    assert stored.regime == "coefficient"


def test_an_interrupted_training_says_so(net, tmp_path):
    def interrupted():
        with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
            observer.record(epoch=0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    run = phiscope.open_run(tmp_path / "r")
    assert (run.status, len(run.records)) == ("interrupted", 1)


def test_closing(net, tmp_path):
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    observer.close(results={"accuracy": 0.5})
    observer.close("interrupted")
    assert phiscope.open_run(tmp_path / "r").status == "completed"
    with pytest.raises(InputError, match="closed"):
        observer.record(epoch=0)


def test_a_run_is_never_overwritten_but_can_go_on(net, tmp_path):
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r") as observer:
        observer.record(epoch=0)
    with pytest.raises(RunExistsError):
        phiscope.Observer(net, (X, Y), run=tmp_path / "r")
    with phiscope.Observer(net, (X, Y), run=tmp_path / "r", resume=True) as observer:
        assert observer.record(epoch=1)["initial_kernel_similarity"] == pytest.approx(1.0)
    assert len(phiscope.open_run(tmp_path / "r").records) == 2


def test_a_compiled_model_is_observed(net, tmp_path):
    compiled = torch.compile(net, backend="eager")
    with phiscope.Observer(compiled, (X, Y), run=tmp_path / "r") as observer:
        assert observer.record(epoch=0).n_features == 64


def test_what_cannot_be_observed(net, tmp_path):
    with pytest.raises(InputError, match="no schedule"):
        phiscope.Observer(net, (X, Y), run=tmp_path / "a", every="sometimes")
    with pytest.raises(HeadError):
        phiscope.Observer(nn.Sequential(net, nn.ReLU()), (X, Y), run=tmp_path / "b")
    with pytest.raises(InputError, match="split names"):
        phiscope.Observer(net, {}, run=tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
    observer = phiscope.Observer(net, (X, Y), run=tmp_path / "d")
    for value in ("high", torch.ones(2), None):
        with pytest.raises(InputError, match=r"'loss'.*not one number"):
            observer.record(epoch=0, loss=value)


def test_bias_corrected_numbers_can_be_left_out(net, tmp_path):
    told = {
        corrected: phiscope.Observer(net, (X, Y), run=tmp_path / str(corrected), corrected=corrected).record(epoch=0)
        for corrected in (True, False)
    }
    assert "dynamical_low_rank_corrected" in told[True]
    assert not any(name.endswith("_corrected") for name in told[False].to_dict())
    assert told[False]["dynamical_low_rank"] == pytest.approx(told[True]["dynamical_low_rank"], rel=1e-9)


def test_a_control_c_in_the_pass_leaves_no_trace_and_no_half_record(tmp_path):
    class Interrupted(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.left = 10**9

        def forward(self, x):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return self.fc(torch.tanh(x))

    model = Interrupted()
    observer = phiscope.Observer(model, [torch.randn(8, 4), torch.randn(8, 4)], run=tmp_path / "r")
    observer.record(epoch=0)
    model.left = 1
    with untouched(model), pytest.raises(KeyboardInterrupt):
        observer.record(epoch=1)
    observer.close("interrupted")
    assert len(phiscope.open_run(tmp_path / "r").records) == 1


def test_a_mapping_of_model_inputs_is_one_probe_and_not_splits(tmp_path):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, inputs_embeds):
            return self.head(inputs_embeds)

    probe = {"inputs_embeds": torch.randn(40, 4), "labels": torch.randint(3, (40,))}
    with phiscope.Observer(Named(), probe, run=tmp_path / "run") as observer:
        measured = observer.record(epoch=0)
    assert measured.n_samples == 40
    assert phiscope.open_run(tmp_path / "run").splits == ("probe",)


def test_targets_of_the_callers_choice(tmp_path):
    names = ["ant", "bee", "cow"]
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3))
    x, y = torch.randn(90, 4), torch.randint(3, (90,))
    expected = phiscope.measure(net, (x, y))["nc1"]
    batch, read = (x, [names[k] for k in y]), lambda b: [names.index(word) for word in b[1]]
    for place, targets in (("a", read), ("b", y)):
        with phiscope.Observer(net, [batch], run=tmp_path / place, targets=targets) as observer:
            assert observer.record(epoch=0)["nc1"] == expected
    with phiscope.PassiveObserver(net, [batch], run=tmp_path / "c", targets=read) as passive:
        with passive.batch(batch):
            net(x)
        assert passive.record(epoch=0)["nc1"] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InputError, match="an array beside 2 data sets"):
        phiscope.Observer(net, {"a": [batch], "b": [batch]}, run=tmp_path / "d", targets=y)
    with pytest.raises(InputError, match="come with each batch"):
        phiscope.PassiveObserver(net, [batch], run=tmp_path / "e", targets=y)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "moment",
    [{"epoch": "a"}, {"epoch": float("nan")}, {"epoch": 0, "step": 1.5}, {"epoch": 0, "step": "t"}, {"step": True}],
)
@pytest.mark.parametrize("kind", ["record", "note", "is_due"])
def test_what_is_no_moment_is_refused_before_anything_is_measured(tmp_path, monkeypatch, kind, moment):
    observer = phiscope.Observer(network(), (X, Y), run=tmp_path / "run")
    monkeypatch.setattr("phiscope.observe.observer.run_pass", None)  # nothing may be measured
    with pytest.raises(InputError, match=r"epoch=|step="):
        getattr(observer, kind)(**moment)
    observer.close()
    assert phiscope.open_run(tmp_path / "run").records == ()


def test_a_record_whose_step_is_counted_and_missing_writes_nothing(tmp_path):
    with (
        pytest.raises(InputError, match="pass step= to record"),
        phiscope.Observer(network(), (X, Y), run=tmp_path / "run", every_steps=5) as observer,
    ):
        observer.record(epoch=1, loss=1.0)
    assert phiscope.open_run(tmp_path / "run").records == ()


def test_a_step_in_a_tensor_or_an_array_is_read(tmp_path):
    with phiscope.Observer(network(), (X, Y), run=tmp_path / "run", every_steps=1) as observer:
        for step in (5.0, np.int64(6), torch.tensor(7)):
            assert observer.record(epoch=torch.tensor(1.0), step=step) is not None
    assert [record.step for record in phiscope.open_run(tmp_path / "run").records] == [5, 6, 7]


def test_a_row_that_is_not_finite_is_named_with_its_split(tmp_path):
    bad = X.clone()
    bad[3] = float("nan")
    words = r"split 'b': features of batch 0 hold NaN or Inf \(first in sample 3\), .*; drop rows that hold NaN"
    splits = {"a": (X, Y), "b": (bad, Y)}
    with pytest.raises(NonFiniteError, match="split 'b': features of this batch hold NaN or Inf"):
        phiscope.Observer(network(), splits, run=tmp_path / "shown")
    observer = phiscope.Observer(network(), splits, run=tmp_path / "run", gallery=0)
    with pytest.raises(NonFiniteError, match=words) as caught, observer:
        observer.record(epoch=0)
    assert (caught.value.where, caught.value.batch) == ("features", 0)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ((X[:0], Y[:0]), "split 'b': the data hold no"),
        ((X, Y + 7), "split 'b': integer targets in batch 0 run from 7"),
        ((X, Y[:, None].repeat(1, 2)), "split 'b': integer targets have shape"),
    ],
    ids=["no sample", "no classes of the network", "several labels"],
)
def test_what_is_wrong_with_one_split_is_said_of_it(tmp_path, second, words):
    with pytest.raises(InputError, match=words):  # noqa: PT012  # it may be said at once, or at the first record
        observer = phiscope.Observer(network(), {"a": (X, Y), "b": second}, run=tmp_path / "run")
        with observer:
            observer.record(epoch=0)


def test_arrays_with_their_targets_are_one_probe(tmp_path):
    net = network()
    with phiscope.Observer(net, {"x": X, "y": Y}, run=tmp_path / "run") as observer:
        measured = observer.record(epoch=0)
    assert measured["nc1"] == pytest.approx(phiscope.measure(net, (X, Y))["nc1"], rel=1e-6)
    assert phiscope.open_run(tmp_path / "run").splits == ("probe",)
