"""A head on the leading eigenfeatures: the predicted error is the measured one."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError
from phiscope.surgery import compress_head


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    head = nn.Linear(12, 3).double()
    features = torch.randn(500, 12, dtype=torch.float64) * torch.linspace(2, 0.1, 12, dtype=torch.float64) + 1
    return features, head, phiscope.diagonalize(features)


@pytest.mark.parametrize("k", [1, 4, 11, 12])
def test_the_predicted_error_is_the_measured_one(parts, k):
    features, head, m = parts
    made = compress_head(m, (head.weight, head.bias), k)
    assert [layer.weight.shape for layer in made] == [(k, 12), (3, k)]
    with torch.no_grad():
        measured = float(((made(features) - head(features)) ** 2).sum(dim=1).mean())
    assert made.predicted_error == pytest.approx(measured, rel=1e-8, abs=1e-12)
    assert made[0].weight.dtype == torch.float64


def test_it_says_whether_it_saves_parameters(parts):
    _, head, m = parts
    one, many = (compress_head(m, (head.weight, head.bias), k) for k in (1, 8))
    assert (one.n_parameters, one.replaced_parameters, one.saves) == (12 + 1 + 3 + 3, 39, True)
    assert not many.saves
    assert "does not save parameters: 131 for 39" in repr(many)


@pytest.mark.parametrize("k", [0, 13, 1.5, True])
def test_k_beyond_what_there_is(parts, k):
    _, head, m = parts
    with pytest.raises(InputError, match="expected a number of eigenfeatures from 1 to 12"):
        compress_head(m, (head.weight, head.bias), k)


def test_a_record_without_all_eigenvectors_says_so(parts, tmp_path):
    _, head, m = parts
    m.save(tmp_path / "m.safetensors", keep_eigenvectors=5)
    stored = phiscope.Measurement.load(tmp_path / "m.safetensors")
    with pytest.raises(InputError, match="holds 5 of 12 eigenvectors"):
        compress_head(stored, (head.weight, head.bias), 3)


def test_it_is_saved_and_loaded_like_any_module(parts, tmp_path):
    features, head, m = parts
    made = compress_head(m, (np.asarray(head.weight.detach()), None), 4)
    torch.save(made.state_dict(), tmp_path / "h.pt")
    again = compress_head(m, (np.asarray(head.weight.detach()) * 0, None), 4)
    again.load_state_dict(torch.load(tmp_path / "h.pt"))
    assert torch.equal(again(features.float()), made(features.float()))


@pytest.mark.parametrize("k", [4, 8])
def test_a_cut_spectrum_has_no_sum_over_all_that_is_dropped(parts, k, tmp_path):
    """The error was once that of the 8 that the measurement held, a fraction of the true one."""
    features, head, m = parts
    pair = (head.weight, head.bias)
    cut = phiscope.diagonalize(features, k=8)
    cut.save(tmp_path / "m.safetensors")
    for one in (cut, phiscope.Measurement.load(tmp_path / "m.safetensors")):
        with pytest.raises(InputError, match=r"only the 8 leading eigenvalues \(k=...\), and the error .* without k="):
            compress_head(one, pair, k)
    # A k that cuts nothing off changes nothing.
    whole = compress_head(phiscope.diagonalize(features, k=12), pair, k)
    assert whole.predicted_error == pytest.approx(compress_head(m, pair, k).predicted_error)


def test_a_number_of_numpy_is_a_number():
    m, head = phiscope.diagonalize(np.random.default_rng(0).standard_normal((60, 4))), (np.eye(2, 4), None)
    assert compress_head(m, head, np.int64(3)).k == 3
    assert type(compress_head(m, head, np.int64(3)).k) is int
    for wrong in (np.int64(0), np.float64(3), np.bool_(True), "3"):
        with pytest.raises(InputError, match="expected a number of eigenfeatures from 1 to 4"):
            compress_head(m, head, wrong)


def test_numbers_keep_the_heads_precision_and_no_random_number_is_drawn(parts):
    """Weights were rounded to float32 on their way to float64, and two layers of a training's random numbers drawn."""
    features, head, m = parts
    state = torch.get_rng_state()
    made = compress_head(m, (head.weight, head.bias), 12)
    assert torch.equal(state, torch.get_rng_state())
    assert (made(features) - head(features)).abs().max().item() < 1e-12
