"""The callback of Lightning: one line, a run for each fit, and nothing of the training moved."""

import warnings

import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, RunWriteError

lightning = pytest.importorskip("lightning")

from lit import Lit, fitted, loaders, made  # noqa: E402
from phiscope.integrations import LightningObserver  # noqa: E402


def moments(path):
    return [(record.epoch, record.step) for record in phiscope.open_run(path).records]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_one_line_gives_the_run_with_the_trainers_own_validation_data(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, observer)
    run = phiscope.open_run(observer.path)
    assert (run.status, run.splits) == ("completed", ("validation",))
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (2.0, 12)]
    assert [record.measurement().n_samples for record in run.records] == [64, 64, 64]
    assert run.header["data"] == "the trainer's own validation data (validation)"
    assert run.header["framework"].startswith("Lightning 2")
    assert run.header["weights"] == "those in training"
    # Logged during the epoch, in its validation, in a forward pass, and after the callbacks.
    assert set(run.records[1].scalars) == {"train_loss", "val_loss", "inside", "late"}
    assert [record.scalars.get("late") for record in run.records] == [None, 0.0, 1.0]


def test_settings_are_those_that_differ_without_secrets_and_places(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine", header={"title": "Mine"})
    fitted(made(), tmp_path, observer, accumulate_grad_batches=2)
    header = phiscope.open_run(observer.path).header
    assert header["title"] == "Mine"
    assert header["settings"] == {
        "width": 12,
        "optimizer": "Adam",
        "learning_rate": 0.01,
        "accumulate_grad_batches": 2,
        "max_epochs": 2,
    }
    assert moments(observer.path) == [(0.0, 0), (1.0, 3), (2.0, 6)]


def test_the_numbers_are_those_of_a_plain_measurement(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    module = made()
    fitted(module, tmp_path, observer)
    _, validation = loaders()
    expected = phiscope.measure(module.net, validation)
    found = phiscope.open_run(observer.path).records[-1].numbers()
    for name in ("dynamical_low_rank", "effective_dimension", "nc1"):
        assert found[name] == pytest.approx(expected[name], rel=1e-5)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"precision": "bf16-mixed"}, {"precision": "bf16-true"}, {"accumulate_grad_batches": 3}],
    ids=["plain", "bf16-mixed", "bf16-true", "accumulation"],
)
def test_the_training_ends_bit_for_bit_as_without(tmp_path, settings, background):
    alone, observed = made(), made()
    fitted(alone, tmp_path, **settings)
    state = torch.get_rng_state()
    observer = LightningObserver(run=tmp_path / "mine", background=background)
    fitted(observed, tmp_path, observer, **settings)
    assert same(alone, observed)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in observed.modules())
    assert "log" not in vars(observed)
    assert len(phiscope.open_run(observer.path).records) == 3


def test_mixed_precision_is_measured_in_full(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    module = made()
    fitted(module, tmp_path, observer, precision="bf16-mixed")
    _, validation = loaders()
    number = phiscope.open_run(observer.path).records[-1].numbers()["effective_dimension"]
    assert number == pytest.approx(phiscope.measure(module.net, validation)["effective_dimension"], rel=1e-6)


def test_steps_are_counted_in_optimizer_steps(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine", every_steps=4)
    fitted(made(), tmp_path, observer, accumulate_grad_batches=2, max_epochs=3)
    run = phiscope.open_run(observer.path)
    assert run.unit == "step"
    assert [(record.at, round(record.epoch, 3)) for record in run.records] == [
        (0, 0.0),
        (4, 1.333),
        (8, 2.667),
        (9, 3.0),
    ]
    phiscope.report(run, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "step 9" in page
    assert "epoch 3" not in page


def test_a_checkpoint_carries_where_the_run_stands(tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    saving = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)
    first = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, first, saving, max_epochs=4, enable_checkpointing=True)
    again = LightningObserver(run=tmp_path / "mine")
    # Checkpoints count epochs from 0: this one was saved at the end of the second.
    fitted(made(), tmp_path, again, max_epochs=3, ckpt_path=tmp_path / "epoch=1.ckpt")
    run = phiscope.open_run(again.path)
    assert again.path == first.path
    assert moments(again.path) == [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18)]
    assert run.branches == (0, 1)
    assert run.hidden == 2
    similar = [record.numbers()["initial_kernel_similarity"] for record in run.records]
    assert similar[0] == pytest.approx(1.0)
    assert similar[-1] < 1


def test_a_second_fit_and_one_without_the_checkpoint_get_runs_of_their_own(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    paths = []
    for _ in range(2):
        fitted(made(), tmp_path, observer, max_epochs=1)
        paths.append(observer.path.name)
    assert paths == ["mine", "mine-2"]


class Fails(lightning.Callback):
    def __init__(self, error):
        self.error = error

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 8:
            raise self.error


def test_a_failure_is_said_and_not_hidden(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    with pytest.raises(ValueError, match="no bread"):
        fitted(made(), tmp_path, observer, Fails(ValueError("no bread")))
    run = phiscope.open_run(observer.path)
    assert (run.status, run.reason, len(run.records)) == ("failed", "ValueError: no bread", 2)


def test_control_c_is_an_interruption(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    with pytest.raises(SystemExit):
        fitted(made(), tmp_path, observer, Fails(KeyboardInterrupt()))
    assert phiscope.open_run(observer.path).status == "interrupted"


def test_a_full_disk_at_the_end_does_not_hide_what_failed(tmp_path, monkeypatch):
    observer = LightningObserver(run=tmp_path / "mine")

    def full(*args, **kwargs):
        raise RunWriteError("mine/end.json cannot be written", path="mine/end.json", reason="No space left on device")

    monkeypatch.setattr("phiscope.runs.writing.RunWriter.finish", full)
    with (
        pytest.warns(UserWarning, match="the end of the run is not stored"),
        pytest.raises(ValueError, match="no bread"),
    ):
        fitted(made(), tmp_path, observer, Fails(ValueError("no bread")))


def test_an_alert_stops_the_trainer(tmp_path):
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=2, then="stop")
    observer = LightningObserver(run=tmp_path / "mine", alerts=[alert])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="alert:")
        trainer = fitted(made(), tmp_path, observer, max_epochs=50)
    assert trainer.current_epoch == 1
    assert len(phiscope.open_run(observer.path).alerts) == 1


def test_averaged_weights_are_not_what_is_measured_and_that_is_said(tmp_path):
    from lightning.pytorch.callbacks import StochasticWeightAveraging

    def fit(*callbacks):
        module = made()
        fitted(module, tmp_path, StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=1), *callbacks, max_epochs=3)
        return module

    observer = LightningObserver(run=tmp_path / "mine")
    assert same(fit(), fit(observer))
    header = phiscope.open_run(observer.path).header
    assert header["weights"] == "those in training, not the copy averaged by StochasticWeightAveraging"


class WithoutForward(Lit):
    forward = lightning.LightningModule.forward

    def training_step(self, batch, index):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def on_train_epoch_end(self):
        pass


class TwoParts(WithoutForward):
    def __init__(self):
        super().__init__()
        self.other = nn.Linear(2, 2)


def test_without_a_forward_the_one_part_with_parameters_is_measured(tmp_path):
    observer = LightningObserver(run=tmp_path / "a")
    fitted(made(WithoutForward), tmp_path, observer)
    assert phiscope.open_run(observer.path).header["model"] == "Sequential"
    with pytest.raises(InputError, match=r"2 parts with parameters: net, other; pass module="):
        fitted(made(TwoParts), tmp_path, LightningObserver(run=tmp_path / "b"))
    with pytest.raises(InputError, match="module='nett' is no part of TwoParts; its parts are net, other"):
        fitted(made(TwoParts), tmp_path, LightningObserver(run=tmp_path / "c", module="nett"))
    chosen = LightningObserver(run=tmp_path / "d", module="net")
    fitted(made(TwoParts), tmp_path, chosen)
    assert len(phiscope.open_run(chosen.path).records) == 3


def test_compiled_and_checkpointed_parts(tmp_path):
    class Checkpointed(Lit):
        def forward(self, x):
            return torch.utils.checkpoint.checkpoint(self.net, x, use_reentrant=False)

    observer = LightningObserver(run=tmp_path / "mine")
    alone, observed = made(Checkpointed), made(Checkpointed)
    fitted(alone, tmp_path)
    fitted(observed, tmp_path, observer)
    assert same(alone, observed)
    compiled = made()
    compiled.net = torch.compile(compiled.net, backend="eager")
    observer = LightningObserver(run=tmp_path / "compiled")
    fitted(compiled, tmp_path, observer)
    assert len(phiscope.open_run(observer.path).records) == 3


def test_no_validation_data_is_one_sentence(tmp_path):
    train, _ = loaders()
    with pytest.raises(InputError, match=r"pass LightningObserver\(probe_data="):
        fitted(made(), tmp_path, LightningObserver(run=tmp_path / "mine"), data=(train, None))
    observer = LightningObserver(train, run=tmp_path / "given", max_samples=32, gallery=0)
    fitted(made(), tmp_path, observer, data=(train, None))
    assert phiscope.open_run(observer.path).records[0].measurement().n_samples == 32


def test_several_validation_loaders_are_splits(tmp_path):
    train, validation = loaders()

    class Two(Lit):
        def validation_step(self, batch, index, dataloader_idx=0):
            pass

    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(Two), tmp_path, observer, data=(train, {"easy": validation, "hard": validation}))
    assert phiscope.open_run(observer.path).splits == ("easy", "hard")


def test_a_setting_that_is_none_is_refused_before_the_training():
    with pytest.raises(InputError, match="no setting 'everystep'; did you mean every_steps"):
        LightningObserver(run="x", everystep=3)
