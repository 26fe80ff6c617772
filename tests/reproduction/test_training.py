"""One training: against a plain loop, with its moments, frozen, diverged, of every kind."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

import phiscope
from made_outcomes import TINY
from phiscope.reproduction import training
from phiscope.reproduction.probing import BETWEEN, TOLERANCES
from phiscope.reproduction.settings import Setup
from phiscope.reproduction.training import cropped, learning_rate_at, train
from phiscope.studies.architectures import build_network
from phiscope.studies.datasets.images import load_images


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
    for tolerance in BETWEEN:
        other = phiscope.measure(model, (digits.train_x[:80], digits.train_y[:80]), rank_tolerance=tolerance)
        found = outcome.value(f"dynamical_low_rank_at_{tolerance:g}")
        assert found == pytest.approx(other["dynamical_low_rank"], rel=1e-4)
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


def test_numbers_in_files_are_finite(outcome):
    for point in outcome.points:
        assert all(np.isfinite(list({**point.scalars, **point.train, **point.test}.values())))


def test_hidden_layers_without_a_gradient_shrink_and_do_not_turn():
    setup = replace(
        TINY, data="digits", frozen=True, decays_frozen=True, optimizer="adamw", weight_decay=0.5, learning_rate=0.1
    )
    seen = {}

    class Kept(training.Probe):
        def __init__(self, network, samples, **others):
            super().__init__(network, samples, **others)
            seen.update(network=network, before={name: part.clone() for name, part in network.state_dict().items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Probe", Kept)
        train(setup)
        shrunk = (1 - 0.1 * 0.5) ** setup.steps
        for name, part in seen["network"].state_dict().items():
            if name.startswith("features"):
                # Six float32 products, and the small decay of each rounds on its own.
                torch.testing.assert_close(part, seen["before"][name] * shrunk, rtol=2e-6, atol=1e-9)
        assert not torch.allclose(seen["network"].head.weight, seen["before"]["head.weight"] * shrunk, rtol=1e-3)
        train(replace(setup, decays_frozen=False))
        for name, part in seen["network"].state_dict().items():
            if name.startswith("features"):
                assert torch.equal(part, seen["before"][name])  # the control: decay on the head alone


def test_the_late_change_is_that_of_the_last_fifth():
    found = train(replace(TINY, steps=10, points=2, even_points=5))
    at = {point.step: point.value("dynamical_low_rank") for point in found.points}
    assert found.value("late_change") == at[10] - at[8]


CENTERED = replace(TINY, loss="square", optimizer="sgd", learning_rate=0.05, momentum=0.9, tangent=5)


def test_a_centered_model_agrees_with_a_plain_loop():
    """The naive twin: f - f0 against targets / alpha, f0 by a second network that stays as it was."""
    alpha, found = 4.0, train(replace(CENTERED, alpha=4.0))
    digits = load_images("digits", n_train=120, n_test=60, seed=0)
    model, still = (
        build_network("fcn", input_shape=(1, 8, 8), num_outputs=10, width=0.04, depth=2, seed=0) for _ in range(2)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    batches = [rows for _ in range(2) for rows in torch.randperm(120, generator=generator).split(32)]
    targets = functional.one_hot(digits.train_y, 10) / alpha
    for rows in batches[:6]:
        optimizer.zero_grad()
        x = digits.train_x[rows]
        functional.mse_loss(model(x) - still(x).detach(), targets[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        x, y = digits.train_x[:80], digits.train_y[:80]
        change = model(x) - still(x)
        own = phiscope.measure(model, (x, y))
        of_change = phiscope.diagonalize(model.features(x), outputs=change, targets=y)
        on_test = model(digits.test_x) - still(digits.test_x)
    assert found.value("dynamical_low_rank") == pytest.approx(own["dynamical_low_rank"], rel=1e-4)
    # f - f0 is small beside f: float32 leaves it fewer digits.
    for name in ("dynamical_low_rank", "dynamical_low_rank_centered", "used_variance"):
        assert found.value(f"change_{name}") == pytest.approx(of_change[name], rel=2e-3)
    assert found.value("change_dynamical_low_rank") != pytest.approx(own["dynamical_low_rank"], rel=0.02)
    accuracy = float((on_test.argmax(1) == digits.test_y).double().mean())
    assert found.value("test_accuracy") == pytest.approx(accuracy)
    assert "change_dynamical_low_rank" not in found.points[0].train
    assert found.points[0].value("train_loss") == pytest.approx(0.1)  # alpha (f0 - f0) = 0 against one-hot targets


def test_the_larger_alpha_the_lazier():
    rich, lazy = (train(replace(CENTERED, alpha=alpha)) for alpha in (1.0, 100.0))
    assert lazy.value("parameter_distance") < 0.1 * rich.value("parameter_distance")
    assert lazy.value("tangent_kernel_distance") < 0.1 * rich.value("tangent_kernel_distance")
    assert lazy.value("initial_kernel_similarity") > rich.value("initial_kernel_similarity")


def test_layers_are_those_of_measure_layers_at_both_ends():
    found = train(replace(TINY, layers=True))
    first, *between, last = found.points
    assert list(first.layers) == list(last.layers) == ["features.2", "head"]
    assert not any(point.layers for point in between)
    assert last.layers["head"]["dynamical_low_rank"] == pytest.approx(found.value("dynamical_low_rank"), rel=1e-4)
    assert last.layers["head"]["n_features"] == 20
    assert not train(TINY).last.layers
