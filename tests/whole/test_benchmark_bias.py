"""The true numbers of benchmarks/bias.py, and that its page says what the file prints."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence" / "finite_samples.md"


@pytest.fixture(scope="module")
def bias():
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("benchmark_bias", ROOT / "benchmarks" / "bias.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_truth_is_that_of_the_closed_forms(bias):
    isotropic, _, classes = bias.populations()
    truth = isotropic.truth()
    assert truth["D_LR"] == pytest.approx(1 - np.sqrt(10 / 256))
    assert truth["Pihat(r)"] == pytest.approx(10 / 256)
    # Nine equal directions of the classes above equal noise in all: D_LR = 1 - U sqrt(PR / r).
    signal, noise = 0.1, (2 * np.sqrt(0.9)) ** 2 / 256
    rho = np.r_[np.full(9, signal + noise), np.full(247, noise)]
    used = rho[:9].sum() / rho.sum()
    expected = 1 - used * np.sqrt(rho.sum() ** 2 / (rho**2).sum() / 9)
    assert classes.truth()["D_LR"] == pytest.approx(expected)
    assert classes.truth()["Pihat(r)"] == pytest.approx(1)


@pytest.mark.parametrize("number", [0, 2])
def test_many_samples_come_near_the_truth(bias, number):
    one = bias.populations()[number]
    found, truth = bias.measured(one.draw(5 * bias.P, np.random.default_rng(3))), one.truth()
    assert found["D_LR corrected"] == pytest.approx(truth["D_LR"], abs=0.02)
    assert found["Pihat(2 r)"] == pytest.approx(truth["Pihat(2 r)"], abs=0.1)


def test_the_page_has_the_files_words(bias):
    page = PAGE.read_text(encoding="utf-8")
    before, between, after = bias.PAGE.split("{errors}")[0], *bias.PAGE.split("{errors}")[1].split("{further}")
    assert page.startswith(before.format(p=bias.P, repeats=20))
    assert between in page
    assert page.endswith(after)
    assert page.count("| D_LR |") == page.count("| D_LR corrected |") == page.count("| Pihat(r) |") == 3
