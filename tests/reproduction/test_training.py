"""Settings, samples, one training, its file, and the engine that runs what is missing."""

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import phiscope
from phiscope.errors import InputError, RunFormatError, UnknownNameError
from phiscope.reproduction import engine
from phiscope.reproduction.engine import Store, run_missing
from phiscope.reproduction.outcome import Outcome
from phiscope.reproduction.probing import TOLERANCES
from phiscope.reproduction.samples import samples_of
from phiscope.reproduction.settings import Setup
from phiscope.reproduction.training import cropped, learning_rate_at, train
from phiscope.studies.architectures import build_network
from phiscope.studies.datasets.images import load_images

TINY = Setup(data="digits", n_train=120, n_test=60, width=0.04, depth=2, steps=6, points=3, batch_size=32, probe=80)


# settings


def test_every_setting_changes_the_file_name():
    other = {
        "data": "glyphs", "data_settings": (("size", 12),), "n_train": 7, "n_test": 8, "train_share": 0.3,
        "shuffled": 0.5, "code": 1.0, "target_spread": (1.0,), "target_scale": 2.0, "network": "cnn", "width": 0.5,
        "depth": 9, "batch_norm": False, "init_scale": 3.0, "frozen": True, "loss": "square", "optimizer": "sgd",
        "learning_rate": 0.5, "momentum": 0.5, "betas": (0.5, 0.5), "weight_decay": 0.5, "schedule": "cosine",
        "warmup_steps": 5, "batch_size": 5, "steps": 5, "crops": True, "points": 5, "probe": 5, "tangent": 5, "seed": 5,
    }  # fmt: skip
    assert set(other) == {row.name for row in fields(Setup)}
    base = replace(Setup(data="digits"), loss="square")
    # The square loss is the base, because a target scale needs it; cross-entropy is then what differs.
    other["loss"] = "cross-entropy"
    keys = {replace(base, **{name: value}).key for name, value in other.items()}
    assert len(keys | {base.key}) == len(other) + 1


def test_settings_survive_json():
    setup = replace(TINY, data_settings=(("size", 12), ("color", True)), target_spread=(1.0, 2.0), loss="square")
    assert Setup.from_facts(json.loads(json.dumps(setup.facts()))) == setup


def test_the_key_is_the_same_in_every_process():
    # Written down once: another key would orphan every result on disk.
    assert Setup(data="digits").key == "digits-fcn-s0-8398e006f5e1"


def test_measured_steps_are_logarithmic_and_end_at_the_end():
    assert Setup(data="digits", steps=1000, points=4).measured_steps() == (0, 1, 10, 100, 1000)
    assert Setup(data="digits", steps=5, points=1).measured_steps() == (0, 1, 5)
    assert Setup(data="digits", steps=3, points=50).measured_steps() == (0, 1, 2, 3)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch_size": 0}, {"points": 0}, {"probe": 1}, {"shuffled": 1.5}, {"target_scale": 2.0}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Setup(data="digits", **wrong)


# samples


def test_shuffled_labels_are_the_same_labels_elsewhere():
    plain, mixed = samples_of(TINY), samples_of(replace(TINY, shuffled=1.0))
    assert torch.equal(plain.train_x, mixed.train_x)
    assert torch.equal(plain.train_y.sort().values, mixed.train_y.sort().values)
    # A random permutation keeps a tenth of ten classes: 12 of 120, with a standard deviation of 3.3.
    assert (plain.train_y == mixed.train_y).sum() < 12 + 5 * 3.3
    assert torch.equal(plain.test_y, mixed.test_y)
    half = samples_of(replace(TINY, shuffled=0.5))
    assert 60 <= (plain.train_y == half.train_y).sum() < 60 + 6 + 5 * 2.4


def test_a_code_is_the_label_in_training_and_foreign_in_the_test():
    plain, coded = samples_of(TINY), samples_of(replace(TINY, code=0.4))
    assert coded.train_x.shape == (120, 1, 10, 8)
    assert coded.input_shape == (1, 10, 8)
    codes = coded.train_x[:, 0, :2].flatten(1)
    expected = functional.one_hot(plain.train_y, 16) * 0.4
    assert torch.equal(codes, expected.float())
    pictures = coded.train_x[:, :, 2:]
    assert (pictures.min(), pictures.max()) == (0, 1)
    foreign = coded.test_x[:, 0, :2].flatten(1)[:, :10]
    assert torch.equal(foreign.sum(1), torch.full((60,), 0.4))
    assert 0 < (foreign.argmax(1) == coded.test_y).sum() < 30
    assert not coded.further["no_code"][:, 0, :2].any()
    assert torch.equal(coded.further["right_code"][:, 0, :2].flatten(1).argmax(1), coded.test_y)
    assert torch.equal(coded.further["no_code"][:, :, 2:], coded.test_x[:, :, 2:])


def test_a_code_has_no_place_in_a_table():
    with pytest.raises(InputError, match="beside pictures"):
        samples_of(Setup(data="addition", network="transformer", code=1.0))


def test_whitened_targets_have_the_asked_spread():
    made = samples_of(Setup(data="teacher", target_spread=(1.0, 2.0, 3.0), loss="square", target_scale=0.5))
    targets = made.train_y.double()
    covariance = torch.cov(targets.T, correction=0)
    assert torch.allclose(covariance, torch.diag(torch.tensor([1.0, 4.0, 9.0]).double()) / 4, atol=1e-5)
    assert torch.allclose(targets.mean(0), torch.zeros(3).double(), atol=1e-5)
    # The test targets are changed by the training split's matrix, so they are only nearly white.
    assert not torch.allclose(torch.cov(made.test_y.double().T), covariance, atol=1e-3)


def test_a_spread_of_the_wrong_length_is_refused():
    with pytest.raises(InputError, match="2 values for 3 targets"):
        samples_of(Setup(data="teacher", target_spread=(1.0, 2.0)))


def test_unknown_data_are_refused():
    with pytest.raises(UnknownNameError, match="digit"):
        samples_of(Setup(data="digitz"))


def test_crops_are_shifts_and_mirrors():
    pictures = torch.arange(2.0 * 6 * 6).reshape(1, 2, 6, 6) + 1
    seen = [cropped(pictures, torch.Generator().manual_seed(seed)) for seed in range(400)]
    padded = functional.pad(pictures, (4, 4, 4, 4))
    windows = [padded[:, :, i : i + 6, j : j + 6] for i in range(9) for j in range(9)]
    possible = {tuple(window.flatten().tolist()) for part in windows for window in (part, part.flip(3))}
    found = {tuple(picture.flatten().tolist()) for picture in seen}
    assert found <= possible
    assert len(found) > 100


def test_the_learning_rate_rises_and_falls():
    setup = Setup(data="digits", learning_rate=2.0, schedule="cosine", steps=100, warmup_steps=4)
    assert learning_rate_at(setup, 1) == 0.5
    assert learning_rate_at(setup, 51) == pytest.approx(1.0)
    assert learning_rate_at(setup, 100) == pytest.approx(1 + math.cos(math.pi * 0.99))


# one training


@pytest.fixture(scope="module")
def outcome():
    """A tiny training."""
    return train(TINY)


def test_the_same_setup_gives_the_same_numbers(outcome):
    before = torch.get_rng_state()
    again = train(TINY)
    assert torch.equal(before, torch.get_rng_state())
    assert again.points == outcome.points
    assert train(TINY.with_seed(1)).points != outcome.points


def test_training_agrees_with_a_plain_loop(outcome):
    """The naive twin: the same six steps of Adam by hand, measured by the public door."""
    digits = load_images("digits", n_train=120, n_test=60, seed=0)
    model = build_network("fcn", input_shape=(1, 8, 8), num_outputs=10, width=0.04, depth=2, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    batches = [rows for _ in range(2) for rows in torch.randperm(120, generator=generator).split(32)]
    for rows in batches[:6]:
        optimizer.zero_grad()
        functional.cross_entropy(model(digits.train_x[rows]), digits.train_y[rows]).backward()
        optimizer.step()
    measured = phiscope.measure(model, (digits.train_x[:80], digits.train_y[:80]))
    # Batches of the measuring pass differ, which moves float32 features by rounding.
    for name in ("dynamical_low_rank", "effective_dimension_centered", "nc1"):
        assert outcome.value(name) == pytest.approx(measured[name], rel=1e-4)
    accuracy = float((model(digits.test_x).argmax(1) == digits.test_y).double().mean())
    assert outcome.value("test_accuracy") == pytest.approx(accuracy)
    curve = {f"{row[0]:g}": row[2] for row in measured.tolerance_curve}
    for tolerance in TOLERANCES:
        expected = curve[f"{tolerance:g}"]
        assert outcome.value(f"dynamical_low_rank_at_{tolerance:g}") == pytest.approx(expected, rel=1e-4)
        other = phiscope.measure(model, (digits.train_x[:80], digits.train_y[:80]), rank_tolerance=tolerance)
        found = outcome.value(f"dynamical_low_rank_centered_at_{tolerance:g}")
        assert found == pytest.approx(other["dynamical_low_rank_centered"], rel=1e-4)
    fewer = phiscope.measure(model, (digits.train_x[:20], digits.train_y[:20]))
    assert outcome.value("dynamical_low_rank_of_20") == pytest.approx(fewer["dynamical_low_rank"], rel=1e-4)


def test_an_outcome_has_its_moments_and_both_splits(outcome):
    assert [point.step for point in outcome.points] == list(TINY.measured_steps())
    assert outcome.status == "finished"
    assert outcome.last.epoch == 6 * 32 / 120
    assert outcome.points[0].value("initial_kernel_similarity") == 1
    assert outcome.points[0].value("parameter_distance") == 0
    assert outcome.value("dynamical_low_rank", "test") != outcome.value("dynamical_low_rank")
    assert outcome.value("dynamical_low_rank_low") <= outcome.value("dynamical_low_rank_high")
    assert outcome.at(5).step == 6
    assert outcome.value("nothing of the sort") is None


def test_frozen_features_stay(outcome):
    frozen = train(replace(TINY, frozen=True))
    assert frozen.value("initial_kernel_similarity") == 1
    assert frozen.last.regimes["train"] == "coefficient"
    same = ("effective_dimension", "nc1", "rankme")
    assert [frozen.value(name) for name in same] == [frozen.points[0].value(name) for name in same]
    assert outcome.value("initial_kernel_similarity") < 1


def test_a_diverged_training_says_so_and_keeps_what_was_measured():
    diverged = train(replace(TINY, optimizer="sgd", learning_rate=1e30, steps=60))
    assert diverged.status == "diverged"
    assert "not finite" in diverged.why or "NaN" in diverged.why
    assert [point.step for point in diverged.points][:1] == [0]
    assert diverged.value("dynamical_low_rank") is None


@pytest.mark.parametrize(
    ("setup", "name"),
    [
        (replace(TINY, loss="square", code=0.4), "right_code_accuracy"),
        (replace(TINY, tangent=10), "tangent_kernel_distance"),
        (replace(TINY, data="diabetes", n_train=300, n_test=None, loss="square"), "test_r2"),
        (replace(TINY, data="teacher", loss="square", target_spread=(1.0, 1.0, 1.0)), "collapse_distance"),
        (Setup(data="division", network="transformer", width=0.125, steps=2, points=2, batch_size=64), "test_accuracy"),
        (replace(TINY, network="cnn", width=0.1, depth=3, optimizer="sgd", momentum=0.9), "gap"),
    ],
    ids=["code", "tangent", "diabetes", "teacher", "division", "cnn"],
)
def test_every_kind_of_training_runs(setup, name):
    found = train(setup)
    assert (found.status, found.why) == ("finished", "")
    assert math.isfinite(found.value(name))


# the file


def test_an_outcome_survives_its_file(outcome, tmp_path):
    path = tmp_path / "deep" / "one.json"
    outcome.save(path)
    assert Outcome.load(path) == outcome
    assert [file.name for file in path.parent.iterdir()] == ["one.json"]
    # A full history of the largest family has 60 trainings: it has to stay a few megabytes.
    assert path.stat().st_size < 40_000


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "setup": {}}', '{"format": 99}', "not json"])
def test_an_unreadable_file_is_named(tmp_path, text):
    (tmp_path / "one.json").write_text(text)
    with pytest.raises(RunFormatError, match=r"one\.json"):
        Outcome.load(tmp_path / "one.json")


# the engine


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    return Store(folder=tmp_path / "outcomes")


def _setups(n):
    return [TINY.with_seed(seed) for seed in range(n)]


def test_only_what_is_missing_is_run(store, monkeypatch):
    trained = []
    monkeypatch.setattr(engine, "train", lambda setup, **_: trained.append(setup.seed) or train(setup))
    assert run_missing(_setups(2), store, progress=False).done == 2
    assert run_missing([*_setups(3), *_setups(3)], store, progress=False).done == 1
    assert trained == [0, 1, 2]
    assert set(store.load(_setups(4))) == {setup.key for setup in _setups(3)}


def test_a_failing_training_loses_no_other(store):
    bad = replace(TINY, n_train=10**6)
    found = run_missing([bad, *_setups(2)], store, progress=False)
    assert found.done == 2
    assert list(found.failed) == [bad.key]
    assert "n_train" in found.failed[bad.key]
    assert store.missing([bad]) == [bad]


def test_a_fault_of_ours_loses_no_other_and_keeps_its_traceback(store, monkeypatch):
    def broken(setup, **_):
        if setup.seed == 0:
            raise ZeroDivisionError("ours")
        return train(setup)

    monkeypatch.setattr(engine, "train", broken)
    found = run_missing(_setups(2), store, progress=False)
    assert found.done == 1
    assert "Traceback" in found.failed[TINY.key]


def test_ctrl_c_keeps_what_is_finished(store, monkeypatch):
    def stopped(setup, **_):
        if setup.seed == 1:
            raise KeyboardInterrupt
        return train(setup)

    monkeypatch.setattr(engine, "train", stopped)
    found = run_missing(_setups(3), store, progress=False)
    assert (found.done, found.interrupted) == (1, True)
    assert len(store.missing(_setups(3))) == 2
    monkeypatch.undo()
    assert run_missing(_setups(3), store, progress=False).done == 2


def test_a_file_left_by_a_kill_is_no_outcome(store):
    store.folder.mkdir()
    (store.folder / "tmp123.part").write_text("{")
    assert store.missing(_setups(1)) == _setups(1)
    run_missing(_setups(1), store, progress=False)
    assert len(store.load(_setups(1))) == 1


def test_two_processes_give_the_numbers_of_one(store, tmp_path):
    other = Store(folder=tmp_path / "others")
    assert run_missing(_setups(3), store, jobs=2, progress=False).done == 3
    run_missing(_setups(3), other, progress=False)
    for key, found in store.load(_setups(3)).items():
        assert found.points == other.load(_setups(3))[key].points


def test_wrong_use_of_the_engine_is_refused(tmp_path):
    with pytest.raises(InputError, match="1 or more, got 0"):
        run_missing([], Store(folder=tmp_path), jobs=0)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        run_missing([], Store(folder=tmp_path / "file"))


def test_numbers_in_files_are_finite(outcome):
    for point in outcome.points:
        assert all(np.isfinite(list({**point.scalars, **point.train, **point.test}.values())))
