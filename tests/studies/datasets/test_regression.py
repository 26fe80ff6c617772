"""The regression set: the studies' own, and refusals."""

import pytest
import torch

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.datasets.bundled import DiabetesSettings
from phiscope.studies.datasets.regression import load_regression


def test_diabetes_is_the_studys():
    ours, study = load_regression("diabetes", seed=5), DiabetesSettings().load(5)
    assert torch.equal(ours.train_x, study.train.inputs)
    assert torch.equal(ours.test_y, study.test.targets)
    assert (ours.num_outputs, ours.input_shape) == (1, (10,))
    # 342 float32 values: rounding far below 1e-5
    torch.testing.assert_close(ours.train_y.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.train_y.std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert len(load_regression("diabetes", n_train=100).test_x) == 342


def test_regression_refusals():
    with pytest.raises(UnknownNameError, match="known are diabetes"):
        load_regression("boston")
    with pytest.raises(InputError, match="got 441"):
        load_regression("diabetes", n_train=441)
    with pytest.raises(InputError, match="got -1"):
        load_regression("diabetes", seed=-1)
    with pytest.raises(InputError, match=r"got 1\.5"):
        load_regression("diabetes", seed=1.5)
    with pytest.raises(InputError, match=r"n_train=10\.5"):
        load_regression("diabetes", n_train=10.5)
