"""Samples of a training: shuffled labels, codes, whitened targets."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from made_outcomes import TINY
from phiscope.errors import InputError, UnknownNameError
from phiscope.reproduction.samples import samples_of
from phiscope.reproduction.settings import Setup


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
