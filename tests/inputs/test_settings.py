"""Settings that many functions take: read before any data are, or refused in one sentence."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.analysis.gradients import input_gradients
from phiscope.errors import InputError
from phiscope.inputs.settings import check_max_samples, check_seed, device_of, numbers_of

X, Y = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
NET = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
CALLS = {
    "measure": lambda **settings: phiscope.measure(NET, (X, Y), **settings),
    "measure_layers": lambda **settings: phiscope.measure_layers(NET, (X, Y), **settings),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("value", [2.5, "100", 0, -3, True])
def test_what_is_no_number_of_samples_is_refused(call, value):
    with pytest.raises(InputError, match=r"max_samples is .*, expected a whole number of at least 1"):
        call(max_samples=value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("device", ["gpu", 3.5, "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(call, device):
    with pytest.raises(InputError, match="device="):
        call(device=device)


def test_gradients_ask_for_the_same_device():
    with pytest.raises(InputError, match="device='gpu' cannot be used here"):
        input_gradients(NET, X, phiscope.measure(NET, (X, Y)), device="gpu")


def test_what_can_be_used_is_taken():
    for value in (None, 1, 2**40):
        check_max_samples(value)
    assert device_of(None) is None
    assert device_of(torch.device("cpu")) == device_of("cpu") == torch.device("cpu")


def test_numbers_of_things_that_are_counted_from_one():
    for given in ([2, 1], (2, 1), np.array([2, 1]), torch.tensor([2, 1]), iter([2, 1]), [np.int8(2), 1]):
        assert numbers_of(given, name="k", of="things", most=2).tolist() == [2, 1]
    for wrong in (3, [], [0], [3], [1.0], "1", [True], [[1]], None, np.array(1), {1.5: 2}):
        with pytest.raises(InputError, match=r"k=.*; expected things from 1 to 2, in a list, as \[1\]"):
            numbers_of(wrong, name="k", of="things", most=2)


def test_a_seed_is_a_whole_number_from_zero_up():
    for seed in (0, 3, np.int64(3)):
        check_seed(seed)
    for wrong in (-1, 1.5, None, True, "1"):
        with pytest.raises(InputError, match="seed is"):
            check_seed(wrong)
