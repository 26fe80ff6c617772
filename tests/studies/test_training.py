import copy
import dataclasses
import signal
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from phiscope.errors import InputError, UnknownNameError
from phiscope.runs import open_run
from phiscope.studies import STUDIES, run_study
from phiscope.studies.datasets.bundled import AdditionSettings
from phiscope.studies.networks import TransformerSettings
from phiscope.studies.recipes import OptimizerSettings, StopRule
from phiscope.studies.training import run_training

SMALL_ADDITION = dataclasses.replace(
    STUDIES["modular-addition"],
    data=AdditionSettings(modulus=5),
    network=TransformerSettings(vocabulary=6, width=16, heads=2, layers=1),
    batch_size=5,
)


@dataclasses.dataclass(frozen=True)
class KeptNetwork:
    """Builds what its settings say and keeps it where a test can look."""

    settings: object
    last: ClassVar[dict] = {}

    def build(self, shape, n_outputs):
        network = self.settings.build(shape, n_outputs)
        self.last.update(network=network, before=copy.deepcopy(network))
        return network


def quiet(done):
    pass


def trained(study, folder, *, epochs, seed=0, progress=quiet):
    run_training(study, folder=folder, epochs=epochs, seed=seed, progress=progress)
    return open_run(folder)


def everything(run):
    return [(r.epoch, r.step, r.scalars, {s: r.numbers(s) for s in run.splits}) for r in run.records]


def gap(spectrum, k):
    return spectrum.eigenvalues[k - 1] / spectrum.eigenvalues[k]


@pytest.mark.parametrize(
    ("name", "epochs"), [pytest.param("digits-fcn", 2, marks=pytest.mark.slow), ("digits-cnn", 1), ("diabetes-mlp", 3)]
)
def test_the_same_seed_gives_identical_numbers_and_another_others(name, epochs, tmp_path):
    def numbers(seed):
        return everything(open_run(run_study(name, out=tmp_path, epochs=epochs, seed=seed, progress=False)))

    first, again, other = numbers(0), numbers(0), numbers(1)
    assert first == again
    assert len(first) == epochs + 1
    assert first[-1][2]["train_loss"] != other[-1][2]["train_loss"]


def test_the_callers_random_state_neither_matters_nor_moves(tmp_path):
    torch.manual_seed(1)
    first = trained(SMALL_ADDITION, tmp_path / "a", epochs=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again = trained(SMALL_ADDITION, tmp_path / "b", epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert everything(first) == everything(again)


def test_digits_cnn_reaches_the_minimal_regime_within_five_epochs(tmp_path):
    run = open_run(run_study("digits-cnn", out=tmp_path, epochs=5, progress=False))
    first, last = run.records[0].measurement("train"), run.records[-1].measurement("train")
    assert first["dynamical_low_rank"] == pytest.approx(0.5, abs=0.1)
    assert gap(first.raw, 10) < 2
    assert last["dynamical_low_rank"] <= 0.1
    assert gap(last.raw, 10) >= 10
    assert last.raw.cumulative_utilization[9] >= 0.99
    assert last.regime == "minimal"
    assert run.records[-1].scalars["test_accuracy"] >= 0.98


@pytest.mark.slow
def test_digits_fcn_learns_without_equal_strengths(tmp_path):
    run = open_run(run_study("digits-fcn", out=tmp_path, epochs=10, progress=False))
    last = run.records[-1]
    assert last.scalars["train_accuracy"] > 0.98
    assert last.measurement("train")["dynamical_low_rank"] == pytest.approx(0.3, abs=0.06)
    assert gap(last.measurement("train").raw, 10) < 5


def test_digits_frozen_does_not_move(tmp_path):
    run = open_run(run_study("digits-frozen", out=tmp_path, epochs=3, progress=False))
    for split in ("train", "test"):
        first = run.records[0].measurement(split)
        for record in run.records:
            measured = record.measurement(split)
            assert measured["initial_kernel_similarity"] == pytest.approx(1, abs=1e-12)
            assert np.array_equal(measured.raw.eigenvalues, first.raw.eigenvalues)
            assert np.array_equal(measured.raw.quality, first.raw.quality)
        assert measured.regime == "coefficient"
    # the head does learn
    assert run.records[-1].scalars["test_accuracy"] > run.records[0].scalars["test_accuracy"] + 0.2


def test_diabetes_explains_part_of_the_variance_and_not_all(tmp_path):
    run = open_run(run_study("diabetes-mlp", out=tmp_path, epochs=10, progress=False))
    scalars = run.records[-1].scalars
    assert 0.3 < scalars["test_r2"] < scalars["train_r2"] + 0.2
    # targets have unit variance on the training split, so square loss and R² are one number there
    assert scalars["train_loss"] == pytest.approx(1 - scalars["train_r2"], abs=1e-5)
    assert run.header["task"] == "regression"
    assert not any("accuracy" in name for name in scalars)
    d_lr = [record.measurement("train")["dynamical_low_rank"] for record in run.records]
    assert min(d_lr) < 0.1 < d_lr[0]


def test_scalars_and_header_say_what_happened(tmp_path):
    run = open_run(run_study("digits-fcn", out=tmp_path, epochs=2, seed=4, progress=False))
    assert [record.epoch for record in run.records] == [0, 1, 2]
    # 1400 samples in batches of 32 are 44 steps
    assert [record.step for record in run.records] == [0, 44, 88]
    assert set(run.records[0].scalars) == {
        "learning_rate",
        "train_loss",
        "test_loss",
        "train_accuracy",
        "test_accuracy",
    }
    # an untrained network is near the uniform guess
    assert run.records[0].scalars["train_loss"] == pytest.approx(np.log(10), abs=0.1)
    assert run.records[-1].scalars["learning_rate"] == pytest.approx(2e-4)
    assert run.splits == ("train", "test")
    assert run.header["settings"]["seed"] == 4
    assert run.header["settings"]["epochs"] == 2
    assert run.header["name"] == "digits-fcn"
    assert run.header["image"] is True
    assert run.class_names == tuple("0123456789")
    assert run.gallery("test").inputs.shape[1:] == (1, 8, 8)
    assert run.status == "completed"


@pytest.mark.parametrize("name", ["digits-fcn", "diabetes-mlp"])
def test_recorded_fit_is_that_of_the_trained_network(name, tmp_path):
    study = STUDIES[name]
    spied = dataclasses.replace(study, network=KeptNetwork(settings=study.network))
    run = trained(spied, tmp_path / "run", epochs=1)
    data, network = study.data.load(0), KeptNetwork.last["network"].eval()
    for split, samples in (("train", data.train), ("test", data.test)):
        with torch.no_grad():
            outputs = network(samples.inputs).double().numpy()
        targets = samples.targets.numpy()
        scalars = run.records[-1].scalars
        if name == "digits-fcn":
            assert scalars[f"{split}_accuracy"] == (outputs.argmax(1) == targets).mean()
            shifted = outputs - outputs.max(1, keepdims=True)
            picked = shifted[range(len(targets)), targets] - np.log(np.exp(shifted).sum(1))
            assert scalars[f"{split}_loss"] == pytest.approx(-picked.mean(), rel=1e-5)
        else:
            r2 = 1 - ((outputs - targets) ** 2).sum() / ((targets - targets.mean()) ** 2).sum()
            assert scalars[f"{split}_r2"] == pytest.approx(r2, abs=1e-5)


def test_ctrl_c_ends_with_a_run_that_can_be_used(tmp_path):
    def stop_at_two(done):
        if done.epoch == 2:
            raise KeyboardInterrupt

    path = run_study("digits-fcn", out=tmp_path, epochs=9, progress=stop_at_two)
    run = open_run(path)
    assert run.status == "interrupted"
    assert [record.epoch for record in run.records] == [0, 1, 2]
    assert run.records[-1].measurement("test").n_samples == 397
    assert run.warnings == ()


def test_a_real_interrupt_from_outside(tmp_path):
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from phiscope.studies import run_study\n"
        "run_study('digits-fcn', out=sys.argv[1], epochs=5000, progress=lambda done: print(done.epoch, flush=True))"
    )
    training = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with training:
        for line in training.stdout:
            if line.strip() == "2":
                training.send_signal(signal.SIGINT)
    run = open_run(tmp_path / "digits-fcn-seed0")
    assert training.returncode == 0
    assert run.status == "interrupted"
    assert len(run.records) >= 3
    assert run.records[-1].measurement("train").n_samples == 1400


def test_the_number_of_threads_neither_matters_nor_moves(tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = trained(SMALL_ADDITION, tmp_path / "two", epochs=2)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        one = trained(SMALL_ADDITION, tmp_path / "one", epochs=2)
    finally:
        torch.set_num_threads(threads)
    assert everything(one) == everything(two)


def test_ctrl_c_amid_an_epoch_keeps_the_epochs_before(tmp_path, monkeypatch):
    steps = iter(range(1000))

    def step_or_stop(self, *args, **kwargs):
        if next(steps) == 60:
            raise KeyboardInterrupt

    monkeypatch.setattr(torch.optim.Adam, "step", step_or_stop)
    run = open_run(run_study("digits-fcn", out=tmp_path, epochs=9, progress=False))
    assert run.status == "interrupted"
    assert [record.epoch for record in run.records] == [0, 1]


def test_ctrl_c_before_the_first_record_is_passed_on(tmp_path):
    def stop(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study("digits-fcn", out=tmp_path, epochs=1, progress=stop)
    assert open_run(tmp_path / "digits-fcn-seed0").status == "interrupted"


def test_a_run_is_never_overwritten(tmp_path):
    paths = [run_study("diabetes-mlp", out=tmp_path / "new" / "runs", epochs=1, progress=False) for _ in range(3)]
    assert [path.name for path in paths] == ["diabetes-mlp-seed0", "diabetes-mlp-seed0-2", "diabetes-mlp-seed0-3"]
    assert all(open_run(path).status == "completed" for path in paths)


def test_a_failed_start_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError):
        run_study("digits-cnn", out=tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_wrong_use_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UnknownNameError, match="digits-cnn"):
        run_study("digits-cn", out=tmp_path)
    with pytest.raises(InputError, match="epochs=0"):
        run_study("digits-cnn", out=tmp_path, epochs=0)
    with pytest.raises(InputError, match="seed"):
        run_study("digits-cnn", out=tmp_path, seed=-1)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run_study("digits-cnn", out=tmp_path / "file")


def test_progress_is_told_every_epoch_with_the_numbers_of_recorded_ones(tmp_path):
    told = []
    study = dataclasses.replace(SMALL_ADDITION, every=2, also=())
    trained(study, tmp_path / "run", epochs=5, progress=told.append)
    assert [done.epoch for done in told] == [0, 1, 2, 3, 4, 5]
    assert [done.measurement is not None for done in told] == [True, False, True, False, True, True]
    assert [bool(done.scalars) for done in told] == [True, False, True, False, True, True]


@pytest.mark.parametrize(
    ("name", "words"), [("digits-fcn", ("test acc ", "Pihat(10) ")), ("diabetes-mlp", ("test R² ", "Pihat(1) "))]
)
def test_the_bar_shows_the_current_numbers(name, words, tmp_path, capfd):
    run_study(name, out=tmp_path, epochs=1)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert name in printed.err
    assert "D_LR " in printed.err
    assert all(word in printed.err for word in words)


def test_no_bar_when_not_wanted(tmp_path, capfd):
    run_study("diabetes-mlp", out=tmp_path, epochs=1, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("at_least", "epochs"), [(0.0, 6), (2.0, 20)])
def test_training_stops_after_enough_good_records_in_a_row(at_least, epochs, tmp_path):
    rule = StopRule(scalar="test_accuracy", at_least=at_least, records=3)
    study = dataclasses.replace(SMALL_ADDITION, every=3, also=(), stop=rule)
    run = trained(study, tmp_path / "run", epochs=20)
    # records at 0, 3 and 6 are the first three; an accuracy of 2 is never reached
    assert run.records[-1].epoch == epochs
    assert run.status == "completed"


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_weight_decay_makes_the_weights_smaller(decay, tmp_path):
    study = dataclasses.replace(
        SMALL_ADDITION,
        optimizer=OptimizerSettings(learning_rate=1e-2, weight_decay=decay),
        network=KeptNetwork(settings=SMALL_ADDITION.network),
    )
    trained(study, tmp_path / "run", epochs=20)
    before, after = (KeptNetwork.last[k].features.tokens.weight.norm() for k in ("before", "network"))
    assert bool(after < 0.9 * before) == bool(decay)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_modular_addition_groks(tmp_path):
    run = open_run(run_study("modular-addition", out=tmp_path, progress=False))
    fits = [(r.scalars["train_accuracy"], r.scalars["test_accuracy"]) for r in run.records]
    memorized = next(i for i, (train, _) in enumerate(fits) if train >= 0.99)
    assert fits[memorized][1] < 0.6
    assert fits[-1][1] >= 0.99
    assert 20 <= len(run.records) <= 45
    assert memorized < len(run.records) - 8
