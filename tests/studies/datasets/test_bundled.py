import sys

import numpy as np
import pytest
import torch

from phiscope.errors import InputError, MissingDependencyError
from phiscope.studies.datasets.bundled import AdditionSettings, DiabetesSettings, DigitsSettings


def rows(samples):
    return {tuple(row) for row in samples.inputs.flatten(1).tolist()}


def test_digits_are_cut_into_1400_and_397_in_equal_shares():
    data = DigitsSettings().load(0)
    assert (len(data.train), len(data.test)) == (1400, 397)
    assert data.input_shape == (1, 8, 8)
    assert (float(data.train.inputs.min()), float(data.train.inputs.max())) == (0.0, 1.0)
    for samples in (data.train, data.test):
        shares = torch.bincount(samples.targets, minlength=10) / len(samples)
        assert shares.min() > 0.095
        assert shares.max() < 0.105
    assert data.task == "classification"
    assert data.class_names == tuple("0123456789")


def test_no_digit_is_in_both_splits_and_none_is_lost():
    from sklearn.datasets import load_digits

    data = DigitsSettings().load(3)
    everything = np.concatenate([data.train.inputs.flatten(1), data.test.inputs.flatten(1)]) * 16
    original = load_digits().data
    assert sorted(map(tuple, everything.tolist())) == sorted(map(tuple, original.tolist()))
    assert not rows(data.train) & rows(data.test)


@pytest.mark.parametrize("settings", [DigitsSettings(), DiabetesSettings(), AdditionSettings(modulus=11)])
def test_the_seed_alone_decides_the_split(settings):
    first, again, other = settings.load(1), settings.load(1), settings.load(2)
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert torch.equal(first.test.targets, again.test.targets)
    assert not torch.equal(first.train.inputs, other.train.inputs)


def test_loading_leaves_the_random_states_alone():
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    for settings in (DigitsSettings(), DiabetesSettings(), AdditionSettings(modulus=5)):
        settings.load(0)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_diabetes_is_standardized_by_the_training_split_alone():
    data = DiabetesSettings().load(0)
    assert (len(data.train), len(data.test)) == (342, 100)
    for values in (data.train.inputs, data.train.targets):
        # 342 float32 values around 1: the mean is off by rounding only.
        assert values.mean(0).abs().max() < 1e-6
        assert (values.std(0, correction=0) - 1).abs().max() < 1e-6
    assert data.test.inputs.mean(0).abs().max() > 1e-3
    assert data.train.targets.shape == (342, 1)
    assert data.task == "regression"


def test_the_addition_table_is_whole_and_right():
    data = AdditionSettings(modulus=7).load(0)
    tokens = torch.cat([data.train.inputs, data.test.inputs])
    sums = torch.cat([data.train.targets, data.test.targets])
    assert sorted(map(tuple, tokens.tolist())) == [(a, b, 7) for a in range(7) for b in range(7)]
    assert all((a + b) % 7 == c for (a, b, _), c in zip(tokens.tolist(), sums.tolist(), strict=True))
    assert len(data.train) == 24
    assert data.n_outputs == 7


def test_about_half_of_the_test_pairs_are_mirrors_of_training_pairs():
    data = AdditionSettings().load(0)
    known = rows(data.train)
    mirrored = [(b, a, eq) in known for a, b, eq in data.test.inputs.tolist() if a != b]
    # 4600 pairs, each mirrored with chance 1/2: five standard deviations are 0.037.
    assert abs(np.mean(mirrored) - 0.5) < 0.037


@pytest.mark.parametrize(
    "settings",
    [
        DigitsSettings(n_train=1797),
        DigitsSettings(n_train=3),
        DiabetesSettings(n_train=441),
        AdditionSettings(modulus=1),
        AdditionSettings(modulus=7, train_share=1.0),
        AdditionSettings(modulus=7, train_share=0.0),
    ],
)
def test_a_split_without_room_is_refused(settings):
    with pytest.raises(InputError, match=r"got"):
        settings.load(0)


@pytest.mark.parametrize("settings", [DigitsSettings(), DiabetesSettings()])
def test_without_scikit_learn_the_message_gives_the_install_command(settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'phiscope\[studies\]'"):
        settings.load(0)


def test_addition_needs_no_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert len(AdditionSettings(modulus=5).load(0).train) == 12
