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


@pytest.mark.parametrize("first", [True, False], ids=["observer first", "averaging first"])
@pytest.mark.parametrize("settings", [{}, {"every_steps": 6}], ids=str)
def test_the_pass_that_refreshes_batch_norms_of_averaged_weights_is_no_epoch(tmp_path, settings, first):
    from lightning.pytorch.callbacks import StochasticWeightAveraging

    def fit(*observers):
        module, averaging = made(), StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=1)
        fitted(module, tmp_path, *(observers if first else ()), averaging, *(() if first else observers), max_epochs=3)
        return module

    observer = LightningObserver(run=tmp_path / "mine", **settings)
    observed = fit(observer)
    assert same(fit(), observed)
    run = phiscope.open_run(observer.path)
    assert moments(observer.path)[-1] == (3.0, 18)
    assert run.records[-1].splits == ("validation",)
    # The copy that is in the network at the end is another one.
    there = phiscope.measure(observed.net, loaders()[1])["effective_dimension"]
    assert run.records[-1].numbers()["effective_dimension"] != pytest.approx(there, rel=1e-6)


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


def test_what_is_logged_between_two_records_stands_with_the_later_one(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine", every_steps=20)
    fitted(made(), tmp_path, observer, max_epochs=5)
    records = phiscope.open_run(observer.path).records
    assert [record.step for record in records] == [0, 20, 30]
    # Epochs of six steps: the validation at step 18 came before the record at 20, and long after that at 0.
    assert records[0].scalars == {}
    assert records[1].scalars["late"] == 2.0
    assert {"train_loss", "val_loss"} <= set(records[1].scalars)


class Validations(lightning.Callback):
    """What each validation found, by the epochs trained then."""

    def __init__(self):
        self.found = {}

    def on_validation_epoch_end(self, trainer, pl_module):
        if not trainer.sanity_checking:
            self.found[trainer.current_epoch + 1.0] = float(trainer.callback_metrics["val_loss"])


def test_a_validation_counts_once(tmp_path):
    truth, observer = Validations(), LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, truth, observer, max_epochs=5, check_val_every_n_epoch=2)
    found = {record.epoch: record.scalars.get("val_loss") for record in phiscope.open_run(observer.path).records}
    assert found == pytest.approx(
        {0.0: None, 1.0: None, 2.0: truth.found[2.0], 3.0: None, 4.0: truth.found[4.0], 5.0: None}
    )


class SameEachTime(Lit):
    def validation_step(self, batch, index):
        self.log("val_loss", 0.5)
        self.log("odd", float("nan"))


def test_a_value_that_comes_again_counts_again(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(SameEachTime), tmp_path, observer, max_epochs=3, check_val_every_n_epoch=1)
    records = phiscope.open_run(observer.path).records[1:]
    assert [record.scalars["val_loss"] for record in records] == [0.5, 0.5, 0.5]
    assert all("odd" in record.scalars for record in records)


def test_epochs_are_those_trained_also_where_the_training_ends_within_one(tmp_path):
    observer = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, observer, max_epochs=-1, max_steps=9)
    assert moments(observer.path) == [(0.0, 0), (1.0, 6), (1.5, 9)]
    limited = LightningObserver(run=tmp_path / "limited")
    fitted(made(), tmp_path, limited, limit_train_batches=3)
    assert moments(limited.path) == [(0.0, 0), (1.0, 3), (2.0, 6)]


@pytest.mark.parametrize(
    ("saving", "settings", "expected"),
    [
        ({"every_n_train_steps": 8}, {}, [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18)]),
        (
            {"every_n_train_steps": 8},
            {"every_steps": 4},
            [(0.0, 0), (0.667, 4), (1.333, 8), (2.0, 12), (2.667, 16), (3.0, 18)],
        ),
        # Written behind the validation, when Lightning does not count the epoch as over yet.
        ({"monitor": "val_loss", "every_n_epochs": 2}, {}, [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18)]),
        ({"every_n_epochs": 2, "save_on_train_epoch_end": True}, {}, [(0.0, 0), (1.0, 6), (2.0, 12), (3.0, 18)]),
    ],
    ids=["within an epoch", "within an epoch, by steps", "behind the validation", "at the end"],
)
def test_a_resume_records_epochs_where_they_end(tmp_path, saving, settings, expected):
    from lightning.pytorch.callbacks import ModelCheckpoint

    keep = ModelCheckpoint(dirpath=tmp_path / "kept", save_top_k=-1, **saving)
    first = LightningObserver(run=tmp_path / "mine", **settings)
    fitted(made(), tmp_path, first, keep, enable_checkpointing=True)
    (path,) = (tmp_path / "kept").iterdir()
    again = LightningObserver(run=tmp_path / "mine", **settings)
    fitted(made(), tmp_path, again, max_epochs=3, ckpt_path=path)
    assert [(round(epoch, 3), step) for epoch, step in moments(again.path)] == expected


def test_several_observers_in_one_trainer_go_on_in_their_own_runs(tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    def several():
        return LightningObserver(run=tmp_path / "a"), LightningObserver(run=tmp_path / "b", every_steps=4)

    saving = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)
    fitted(made(), tmp_path, *several(), saving, enable_checkpointing=True)
    one, other = several()
    fitted(made(), tmp_path, one, other, max_epochs=3, ckpt_path=tmp_path / "epoch=1.ckpt")
    assert (one.path.name, other.path.name) == ("a", "b")
    assert [step for _, step in moments(one.path)] == [0, 6, 12, 18]
    assert [step for _, step in moments(other.path)] == [0, 4, 8, 12, 16, 18]
    assert str(tmp_path) not in one.state_key


def test_a_checkpoint_of_an_earlier_version_still_carries_where_the_run_stands(tmp_path):
    from lightning.pytorch.callbacks import ModelCheckpoint

    saving = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)
    first = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, first, saving, enable_checkpointing=True)
    content = torch.load(tmp_path / "epoch=0.ckpt", weights_only=False)
    content["callbacks"]["LightningObserver"] = content["callbacks"].pop(first.state_key)
    torch.save(content, tmp_path / "old.ckpt")
    again = LightningObserver(run=tmp_path / "mine")
    fitted(made(), tmp_path, again, ckpt_path=tmp_path / "old.ckpt")
    assert again.path == first.path
    assert phiscope.open_run(again.path).branches == (0, 1)
