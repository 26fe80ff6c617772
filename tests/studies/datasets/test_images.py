"""Image sets by name: cut by seed, standardized by the training split's own mean and spread."""

import builtins
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError
from phiscope.studies.datasets.images import load_images
from published_images import write_cifar10, write_cifar100, write_mnist


def test_the_standardization_is_the_training_splits_own(tmp_path):
    write_cifar10(tmp_path)
    cifar = load_images("cifar10", folder=tmp_path, n_train=20)
    flat = cifar.train_x.double().transpose(0, 1).flatten(1)
    # 20 x 1024 float32 values: rounding of each is 6e-8 of at most 2
    torch.testing.assert_close(flat.mean(1), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-6, rtol=0)
    assert abs(float(cifar.test_x.mean())) > 1e-4  # the control: the test split has another mean


def test_a_constant_channel_is_zero_and_not_nan(tmp_path):
    write_cifar10(tmp_path)
    for path in tmp_path.glob("*.bin"):
        rows = np.frombuffer(path.read_bytes(), dtype=np.uint8).reshape(-1, 3073).copy()
        rows[:, 1:1025] = 77
        path.write_bytes(rows.tobytes())
    cifar = load_images("cifar10", folder=tmp_path)
    assert not cifar.train_x[:, 0].any()
    assert bool(torch.isfinite(cifar.test_x).all())


def test_fewer_pictures_are_the_beginning_of_more_in_equal_shares(tmp_path):
    write_mnist(tmp_path)
    few = load_images("mnist", folder=tmp_path, n_train=20, n_test=10, seed=3)
    more = load_images("mnist", folder=tmp_path, n_train=40, n_test=10, seed=3)
    other = load_images("mnist", folder=tmp_path, n_train=20, n_test=10, seed=4)
    assert torch.equal(few.train_y, more.train_y[:20])
    assert torch.equal(torch.bincount(few.train_y), torch.full((10,), 2))
    assert torch.equal(few.test_y, more.test_y)
    assert not torch.equal(few.train_y, other.train_y)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mnist", {}, "name their folder with folder="),
        ("digits", {"folder": "here"}, "leave folder out"),
        ("digits", {"size": 3}, "has no setting size; it has none"),
        ("glyphs", {"hardness": 3}, "no setting hardness; its settings are num_classes, size, color, difficulty"),
        ("digits", {"n_train": 0}, "n_train is a whole number, 1 or more"),
        ("digits", {"n_test": 9.5}, "or None for all, got n_test=9.5"),
        ("digits", {"n_train": 1401}, "there are 1797 pictures in all, got n_train=1401 and n_test=397"),
        ("digits", {"n_test": 1797}, "got n_train=None and n_test=1797"),
        ("digits", {"seed": -1}, "got -1"),
        ("digits", {"seed": 1.5}, "a seed is a whole number .* got 1.5"),
        ("digits", {"seed": None}, "a seed is a whole number .* got None"),
    ],
)
def test_wrong_settings_are_one_sentence(name, more, message):
    with pytest.raises(InputError, match=message):
        load_images(name, **more)


def test_more_pictures_than_there_are(tmp_path):
    write_mnist(tmp_path)
    with pytest.raises(InputError, match="the test split has 30 pictures, got n_test=31"):
        load_images("mnist", folder=tmp_path, n_test=31)
    write_cifar100(tmp_path)
    with pytest.raises(InputError, match='"fine" or "coarse", got labels=\'medium\''):
        load_images("cifar100", folder=tmp_path, labels="medium")


def test_an_unknown_set_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean"):
        load_images("cifar-10")


def test_digits_are_the_ones_of_scikit_learn():
    from sklearn.datasets import load_digits

    digits = load_images("digits", seed=2)
    whole, classes = load_digits(return_X_y=True)
    assert (len(digits.train_x), len(digits.test_x)) == (1400, 397)
    # undo the scaling: every picture of the bundle occurs once, with its label
    pixels = torch.cat([digits.train_x, digits.test_x]).flatten(1).double()
    train = pixels[:1400]
    levels = (pixels - train.min()) / (train.max() - train.min()) * 16
    rows = {(*np.round(row).astype(int).tolist(), int(label)) for row, label in zip(whole, classes, strict=True)}
    labels = torch.cat([digits.train_y, digits.test_y])
    found = {(*np.round(row.numpy()).astype(int).tolist(), int(y)) for row, y in zip(levels, labels, strict=True)}
    assert found == rows
    shares = torch.bincount(digits.train_y) / 1400 - torch.from_numpy(np.bincount(classes) / 1797)
    assert float(shares.abs().max()) < 2 / 1400


def test_digits_without_scikit_learn(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[studies\]"):
        load_images("digits")


def test_the_python_on_the_page_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "guide" / "data.md").read_text(encoding="utf-8")
    write_mnist(tmp_path / "data" / "mnist", n=(1000, 30))
    write_cifar10(tmp_path / "data" / "cifar10")
    write_cifar100(tmp_path / "data" / "cifar100")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)  # noqa: S102 (our own page)
    assert "dynamical_low_rank" in capsys.readouterr().out
    assert (len(names["mnist"].train_x), names["fine"].num_classes, names["letters"].num_classes) == (1000, 100, 62)
    build = names["build_network"]
    for name in ("fcn", "cnn", "vgg16", "resnet18"):
        network = build(name, input_shape=(3, 32, 32), num_outputs=10)
        assert f"{sum(parameter.numel() for parameter in network.parameters()):,}" in page
