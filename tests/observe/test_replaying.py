"""A run from saved checkpoints is the run that an observer would have written."""

import sys

import numpy as np
import pytest
import torch

import phiscope
from phiscope.errors import (
    AlertError,
    InputError,
    MissingDependencyError,
    NonFiniteError,
    RunExistsError,
    UnknownNameError,
)
from saved_trainings import DATA, made_net, save_trainer_folder, states
from untouched import untouched

STATES = states()


@pytest.fixture
def saved(tmp_path):
    for epoch, state in enumerate(STATES):
        torch.save({"epoch": epoch, "model": state}, tmp_path / f"{epoch}.pt")
    return tmp_path / "*.pt"


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """What an observer writes that was there."""
    path = tmp_path_factory.mktemp("observed") / "r"
    net = made_net()
    with phiscope.Observer(net, DATA, run=path) as observer:
        for epoch, state in enumerate(STATES):
            net.load_state_dict(state)
            observer.record(epoch=epoch)
    return phiscope.open_run(path)


def same(run, other):
    assert [record.epoch for record in run.records] == [record.epoch for record in other.records]
    for a, b in zip(run.records, other.records, strict=True):
        assert a.splits == b.splits
        for split in a.splits:
            assert a.measurement(split).to_dict() == b.measurement(split).to_dict()
            assert a.regime(split) == b.regime(split)
            np.testing.assert_array_equal(a.extras(split)["gallery_raw"], b.extras(split)["gallery_raw"])


def test_the_run_is_that_of_an_observer_and_the_model_is_as_before(saved, observed, tmp_path):
    net = made_net()
    with untouched(net):
        run = phiscope.replay(net, saved, DATA, tmp_path / "r")
    same(run, observed)
    assert run.status == "completed"
    assert run.records[0].numbers("train")["initial_kernel_similarity"] == pytest.approx(1.0, abs=1e-12)
    assert run.records[-1].numbers("train")["initial_kernel_similarity"] < 1.0
    assert run.header["replayed"] == ["0.pt", "1.pt", "2.pt", "3.pt"]


def test_several_at_a_time_are_the_same_run(saved, observed, tmp_path):
    pytest.importorskip("joblib", reason="joblib is not installed: pip install 'phiscope[replay]'")
    same(phiscope.replay(made_net(), saved, DATA, tmp_path / "r", jobs=2), observed)


def test_a_replay_that_was_stopped_goes_on(saved, observed, tmp_path, monkeypatch):
    from phiscope.observe import replaying

    loaded = []

    def stopped(path, key=None):
        if path.name == "2.pt" and "2.pt" not in loaded:
            loaded.append(path.name)
            raise KeyboardInterrupt
        loaded.append(path.name)
        return weights_in(path, key)

    weights_in = replaying.weights_in
    monkeypatch.setattr(replaying, "weights_in", stopped)
    with pytest.raises(KeyboardInterrupt):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r")
    run = phiscope.open_run(tmp_path / "r")
    assert (run.status, len(run.records)) == ("interrupted", 2)
    same(phiscope.replay(made_net(), saved, DATA, tmp_path / "r"), observed)
    assert loaded == ["0.pt", "1.pt", "2.pt", "2.pt", "3.pt"]
    # Nothing is left to do, and nothing is done.
    same(phiscope.replay(made_net(), saved, DATA, tmp_path / "r"), observed)
    assert len(loaded) == 5


def test_later_checkpoints_are_added_and_earlier_ones_refused(saved, observed, tmp_path):
    late = [tmp_path / f"{epoch}.pt" for epoch in (1, 2)]
    phiscope.replay(made_net(), late, DATA, tmp_path / "r")
    run = phiscope.replay(made_net(), [*late, tmp_path / "3.pt"], DATA, tmp_path / "r")
    assert [record.epoch for record in run.records] == [1.0, 2.0, 3.0]
    assert run.branches == (0,)
    # Still against the first of all.
    assert run.records[0].numbers("train")["initial_kernel_similarity"] == pytest.approx(1.0, abs=1e-12)
    assert run.records[-1].numbers("train")["initial_kernel_similarity"] < 1.0
    with pytest.raises(InputError, match=r"0\.pt \(epoch 0\) lies before the last record"):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r")


def test_folders_of_the_trainer(observed, tmp_path):
    for epoch, state in enumerate(STATES):
        save_trainer_folder(tmp_path / f"checkpoint-{epoch * 10}", state, epoch=float(epoch), step=10 * epoch)
    run = phiscope.replay(made_net(), tmp_path / "checkpoint-*", DATA, tmp_path / "r")
    same(run, observed)
    assert [record.step for record in run.records] == [0, 10, 20, 30]


def test_lightnings_own_checkpoints(tmp_path):
    pl = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    epochs, steps = [], []

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = made_net()
            self.save_hyperparameters({"width": 6})

        def forward(self, x):
            return self.model(x)

        def training_step(self, batch, index):
            return torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def on_train_epoch_end(self):
            epochs.append(self.current_epoch + 1)
            steps.append(self.global_step)

    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*DATA["train"]), batch_size=30)
    saving = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, every_n_epochs=1)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    module = Module()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **words: None)  # few workers, no logger: Lightning's advice
        pl.Trainer(max_epochs=3, callbacks=[saving], **quiet).fit(module, data)
    for model in (made_net(), Module()):
        name = f"r-{type(model).__name__}"
        run = phiscope.replay(model, tmp_path / "*.ckpt", DATA, tmp_path / name)
        assert [(record.epoch, record.step) for record in run.records] == list(zip(epochs, steps, strict=True))
        expected = phiscope.measure(module.model, DATA["train"])["dynamical_low_rank"]
        assert run.records[-1].numbers("train")["dynamical_low_rank"] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_checkpoint_that_diverged_is_said_and_the_others_are_measured(saved, tmp_path, jobs):
    broken = {
        name: torch.full_like(one, torch.nan) if one.is_floating_point() else one for name, one in STATES[2].items()
    }
    torch.save({"epoch": 2, "model": broken}, tmp_path / "2.pt")
    with pytest.warns(UserWarning, match=r"2\.pt: .*its record has no numbers"):
        run = phiscope.replay(made_net(), saved, DATA, tmp_path / "r", jobs=jobs)
    assert [len(record.splits) for record in run.records] == [2, 2, 0, 2]


def test_a_replay_goes_on_with_a_checkpoint_that_diverged(saved, tmp_path):
    phiscope.replay(made_net(), saved, DATA, tmp_path / "r")
    broken = {name: one * torch.nan if one.is_floating_point() else one for name, one in STATES[2].items()}
    torch.save({"epoch": 4, "model": broken}, tmp_path / "4.pt")
    torch.save({"epoch": 5, "model": STATES[3]}, tmp_path / "5.pt")
    net = made_net()
    with untouched(net), pytest.warns(UserWarning, match=r"4\.pt: .*its record has no numbers"):
        run = phiscope.replay(net, saved, DATA, tmp_path / "r")
    assert [(record.epoch, len(record.splits)) for record in run.records[3:]] == [(3, 2), (4, 0), (5, 2)]
    assert run.records[5].numbers("train") == run.records[3].numbers("train")


def test_a_first_checkpoint_that_diverged_is_named(tmp_path):
    broken = {name: one * torch.nan if one.is_floating_point() else one for name, one in STATES[2].items()}
    torch.save(broken, tmp_path / "0.pt")
    with pytest.raises(NonFiniteError, match=r"0\.pt: features of batch 0 hold NaN"):
        phiscope.replay(made_net(), tmp_path / "0.pt", DATA["train"], tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_checkpoint_that_does_not_fit_is_one_sentence_and_the_model_is_as_before(saved, tmp_path):
    torch.save({"epoch": 2, "model": {"other": torch.ones(2)}}, tmp_path / "2.pt")
    net = made_net()
    with untouched(net), pytest.raises(InputError, match=r"2\.pt does not fit the network: missing body"):
        phiscope.replay(net, saved, DATA, tmp_path / "r")
    assert phiscope.open_run(tmp_path / "r").status == "failed"


def test_settings_are_those_of_the_observer(saved, tmp_path):
    seen = []
    alert = phiscope.Alert("effective_dimension", below=1e9, patience=1, then="raise")
    with pytest.raises(AlertError):
        phiscope.replay(
            made_net(), saved, DATA, tmp_path / "r", alerts=[alert], trackers=[lambda numbers, at: seen.append(at)],
            header={"title": "Mine"}, max_samples=20, gallery=0,
        )  # fmt: skip
    run = phiscope.open_run(tmp_path / "r")
    assert (run.header["title"], run.records[0].measurement("train").n_samples, seen) == ("Mine", 20, [0])


def test_what_cannot_be_used_is_one_sentence(saved, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no setting 'galery'; did you mean gallery"):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r", galery=3)
    with pytest.raises(InputError, match="no setting 'resume'"):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r", resume=True)
    with pytest.raises(InputError, match="jobs is 0, expected a whole number"):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r", jobs=0)
    with pytest.raises(UnknownNameError):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r", trackers=["tensorbord"])
    monkeypatch.setitem(sys.modules, "joblib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'phiscope\[replay\]'"):
        phiscope.replay(made_net(), saved, DATA, tmp_path / "r", jobs=2)
    assert not (tmp_path / "r").exists()


def test_a_run_of_an_observer_is_not_gone_on_with(saved, observed):
    with pytest.raises(RunExistsError, match="was not replayed"):
        phiscope.replay(made_net(), saved, DATA, observed.path)
