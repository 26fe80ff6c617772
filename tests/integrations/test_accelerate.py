"""The observer for loops under accelerate: prepared models and loaders, checkpoints, triggers."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from phiscope.errors import InputError

accelerate = pytest.importorskip("accelerate")

from phiscope.integrations import AccelerateObserver  # noqa: E402


@pytest.fixture(autouse=True)
def calm():
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="accelerate|torch")
        yield
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


def parts(**settings):
    """Accelerator, network, optimizer, training and validation loader, prepared."""
    accelerator = accelerate.Accelerator(cpu=True, **settings)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(0.1), nn.Linear(12, 3))
    x = torch.randn(160, 5)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    training = DataLoader(TensorDataset(x[:96], y[:96]), batch_size=16, shuffle=True)
    validation = DataLoader(TensorDataset(x[96:], y[96:]), batch_size=10)
    return accelerator, *accelerator.prepare(network, optimizer, training, validation)


def train(accelerator, network, optimizer, training, observer=None, epochs=2, begin=0):
    for epoch in range(begin, epochs):
        for x, y in training:
            with accelerator.accumulate(network):
                loss = nn.functional.cross_entropy(network(x), y)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
        if observer is not None:
            observer.record(epoch=epoch + 1, step=(epoch + 1) * len(training), loss=loss)


def moments(path):
    return [(record.epoch, record.step) for record in phiscope.open_run(path).records]


def test_the_prepared_loader_that_does_not_shuffle_is_measured(tmp_path):
    accelerator, network, optimizer, training, _ = parts()
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine") as observer:
        first = observer.record(epoch=0, step=0)
        train(accelerator, network, optimizer, training, observer)
    run = phiscope.open_run(observer.path)
    assert first.n_samples == 64
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    assert "loss" in run.records[1].scalars
    assert run.status == "completed"
    assert run.header["data"] == "the accelerator's prepared loader that does not shuffle"
    assert run.header["settings"] == {"optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.9}


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("settings", [{}, {"mixed_precision": "bf16"}, {"gradient_accumulation_steps": 4}])
def test_the_training_ends_bit_for_bit_as_without(tmp_path, settings, background):
    ends = []
    for observed in (False, True):
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
        accelerator, network, optimizer, training, _ = parts(**settings)
        observer = None
        if observed:
            observer = AccelerateObserver(accelerator, network, run=tmp_path / "mine", background=background)
            observer.record(epoch=0, step=0)
        train(accelerator, network, optimizer, training, observer)
        if observer is not None:
            observer.close()
        ends.append(([tensor.clone() for tensor in network.state_dict().values()], torch.get_rng_state()))
    (alone, before), (observed, after) = ends
    assert all(torch.equal(a, b) for a, b in zip(alone, observed, strict=True))
    assert torch.equal(before, after)


def test_mixed_precision_is_measured_in_full(tmp_path):
    accelerator, network, _, _, validation = parts(mixed_precision="bf16")
    patched = network.forward
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine") as observer:
        found = observer.record(epoch=0, step=0)
    assert network.forward == patched
    twin = nn.Sequential(*network.children())
    assert found["effective_dimension"] == pytest.approx(
        phiscope.measure(twin, validation)["effective_dimension"], rel=1e-9
    )
    # The control: with the autocast that accelerate has put in, the numbers are others.
    loose = network._original_forward
    del network._original_forward
    rough = phiscope.measure(network, validation)["effective_dimension"]
    network._original_forward = loose
    assert abs(rough / found["effective_dimension"] - 1) > 1e-5


def test_checkpoints_carry_where_the_run_stands(tmp_path):
    accelerator, network, optimizer, training, _ = parts()
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine") as observer:
        observer.record(epoch=0, step=0)
        train(accelerator, network, optimizer, training, observer, epochs=1)
        accelerator.save_state(str(tmp_path / "saved"))
        train(accelerator, network, optimizer, training, observer, epochs=3, begin=1)
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator, network, optimizer, training, _ = parts()
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine") as again:
        accelerator.load_state(str(tmp_path / "saved"))
        train(accelerator, network, optimizer, training, again, epochs=2, begin=1)
    run = phiscope.open_run(again.path)
    assert again.path == observer.path
    assert moments(again.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    assert (run.branches, run.hidden) == ((0, 1), 2)


def test_the_initial_state_is_that_of_the_construction(tmp_path):
    accelerator, network, optimizer, training, _ = parts()
    observer = AccelerateObserver(accelerator, network, run=tmp_path / "mine")
    train(accelerator, network, optimizer, training)
    with observer:
        measured = observer.record(epoch=2)
    assert measured["initial_kernel_similarity"] < 0.999


def test_steps_are_asked_for(tmp_path):
    accelerator, network, _, _, _ = parts()
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine", every_steps=3) as observer:
        due = [step for step in range(8) if observer.is_due(step=step) and observer.record(step=step)]
    assert due == [0, 3, 6]
    assert phiscope.open_run(observer.path).unit == "step"


def test_an_alert_sets_the_accelerators_trigger(tmp_path):
    accelerator, network, _, _, _ = parts()
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=1, then="stop")
    warnings.filterwarnings("ignore", message="alert:")
    with AccelerateObserver(accelerator, network, run=tmp_path / "mine", alerts=[alert]) as observer:
        assert not accelerator.check_trigger()
        observer.record(epoch=0)
        assert observer.should_stop
        assert accelerator.check_trigger()


def test_a_failure_is_said(tmp_path):
    accelerator, network, _, _, _ = parts()
    observer = AccelerateObserver(accelerator, network, run=tmp_path / "mine")
    observer.record(epoch=0)
    with pytest.raises(ValueError, match="no bread"), observer:
        raise ValueError("no bread")
    assert phiscope.open_run(observer.path).reason == "ValueError: no bread"
    with pytest.raises(InputError, match="this observer is closed"):
        observer.record(epoch=1)


def test_wrong_use_is_one_sentence(tmp_path):
    accelerator, network, _, training, _ = parts()
    with pytest.raises(InputError, match=r"expected the accelerate\.Accelerator"):
        AccelerateObserver(network, accelerator, run=tmp_path / "a")
    with pytest.raises(InputError, match=r"expected the torch\.nn\.Module that is trained"):
        AccelerateObserver(accelerator, training, run=tmp_path / "a")
    accelerator.prepare(DataLoader(TensorDataset(torch.randn(4, 5)), batch_size=2))
    with pytest.raises(InputError, match="2 of the 3 loaders that were prepared do not shuffle"):
        AccelerateObserver(accelerator, network, run=tmp_path / "a")


def test_what_is_no_moment_is_refused(tmp_path):
    accelerator, network, *_ = parts()
    observer = AccelerateObserver(accelerator, network, run=tmp_path / "mine")
    for moment in ({"epoch": "a"}, {"epoch": 0, "step": 1.5}):
        with pytest.raises(InputError, match=r"epoch='a'|step=1.5"):
            observer.record(**moment)
