"""Gradients of eigenfunctions by the input: closed forms, finite differences, and no trace left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from phiscope.analysis.gradients import input_gradients
from phiscope.errors import InputError, ShapeError
from phiscope.measurement.measure import measure
from untouched import untouched


class Words(nn.Module):
    """A mean of embeddings and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(ids).mean(dim=1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("centered", [True, False])
def test_a_linear_map_has_its_matrix_times_the_eigenvector(centered: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    x = torch.randn(50, 6)
    measured = measure(net, x)
    spectrum = measured.spectrum(centered=centered)
    found = input_gradients(net, x[:5], measured, k=3, centered=centered)
    weight = net[0].weight.detach().double().numpy()
    expected = (weight.T @ spectrum.eigenvectors[:, :3] / np.sqrt(spectrum.eigenvalues[:3])).T
    assert found.gradients.shape == (3, 5, 6)
    # Backward runs in float32.
    assert np.allclose(found.gradients, expected[:, None], rtol=1e-4, atol=1e-5)
    features = net[0](x[:5]).detach().double().numpy()
    assert np.allclose(found.values.T, measured.eigenfunctions(features, centered=centered)[:, :3], atol=1e-5)


def test_a_deep_network_agrees_with_finite_differences() -> None:
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(1, 3, 3),
        nn.BatchNorm2d(3),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(48, 5),
        nn.GELU(),
    ]
    net = nn.Sequential(*layers, nn.Linear(5, 4)).double()
    x = torch.randn(40, 1, 6, 6, dtype=torch.float64)
    measured = measure(net, x)
    found = input_gradients(net, x[:2], measured, k=(1, 3))
    body, step = net[:-1].eval(), 1e-6
    for place in ((0, 0, 0), (0, 2, 3), (0, 5, 5)):
        moved = torch.zeros_like(x[:2])
        moved[(slice(None), *place)] = step
        with torch.no_grad():
            ends = [measured.eigenfunctions(body(x[:2] + sign * moved), centered=True) for sign in (1, -1)]
        slope = (ends[0] - ends[1])[:, [0, 2]] / (2 * step)
        # Rounding over the step, 1e-16 / 1e-6, times the size of the functions.
        assert np.allclose(found.gradients[(slice(None), slice(None), *place)].T, slope, atol=1e-8)


def test_tokens_have_the_gradient_at_their_embeddings() -> None:
    torch.manual_seed(2)
    net = Words()
    ids = torch.randint(20, (60, 7))
    measured = measure(net, ids)
    found = input_gradients(net, ids[:4], measured, k=2)
    expected = measured.centered.eigenvectors[:, :2] / np.sqrt(measured.centered.eigenvalues[:2]) / 7
    assert found.of == "embeddings"
    assert np.allclose(found.gradients, expected.T[:, None, None], atol=1e-6)
    assert np.allclose(found.norms(), np.sqrt((expected**2).sum(axis=0))[:, None, None], atol=1e-6)


def test_nothing_is_left_behind() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(4, 3))
    net[0].weight.requires_grad_(False)
    x = torch.randn(30, 6)
    measured = measure(net, x)
    heard: list[str] = []
    net[0].register_full_backward_hook(lambda *_: heard.append("backward"))
    with untouched(net):
        input_gradients(net, x[:3], measured)
    assert heard == []
    assert not x.requires_grad
    deeper = nn.Sequential(net, nn.Linear(3, 2))
    with untouched(deeper), pytest.raises(ShapeError):
        input_gradients(deeper, x[:3], measured)


def test_features_of_a_chosen_layer() -> None:
    torch.manual_seed(4)
    net = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))
    x = torch.randn(30, 6)
    by_name = input_gradients(net, x[:3], measure(net, x, features="1"), features="1")
    by_head = input_gradients(net, x[:3], measure(net, x))
    assert np.abs(by_head.gradients).max() > 0.01
    assert np.allclose(by_name.gradients, by_head.gradients, atol=1e-5)


@pytest.mark.parametrize("k", [0, 9, (0,), (1, 9), "1", True, (), 1.5, (1.5,), (True,), None, {1: 1}, np.float64(2)])
def test_an_eigenfunction_that_is_not_there_is_refused(k: object) -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    x = torch.randn(30, 6)
    with pytest.raises(InputError, match="expected how many"):
        input_gradients(net, x[:3], measure(net, x), k=k)  # type: ignore[arg-type]


def test_places_may_be_numbers_of_numpy() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    x = torch.randn(30, 6)
    measured = measure(net, x)
    assert input_gradients(net, x[:3], measured, k=np.int64(2)).k == (1, 2)
    assert input_gradients(net, x[:3], measured, k=np.array([1, 3])).k == (1, 3)


def test_norms_are_of_embeddings() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    x = torch.randn(30, 6)
    with pytest.raises(InputError, match="embedding"):
        input_gradients(net, x[:3], measure(net, x)).norms()


def test_a_model_that_answers_at_positions_is_refused() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(20, 5), nn.Linear(5, 3)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.embedding(ids))  # type: ignore[no-any-return]

    net, ids = Tagger(), torch.randint(20, (30, 4))
    with pytest.raises(InputError, match="positions"):
        input_gradients(net, ids, measure(net, ids))
