"""Fashion-MNIST where its package puts it, elsewhere, and nowhere."""

import gzip
import struct

import numpy as np
import pytest

from phiscope.cli.main import run_command
from phiscope.errors import InputError
from phiscope.studies.datasets import fashion_mnist
from phiscope.studies.datasets.fashion_mnist import CLASSES, PACKAGE, places
from phiscope.studies.datasets.image_files import MNIST_FILES
from phiscope.studies.datasets.images import ImageSettings, load_images
from published_images import write_mnist

INSTALLED = next((folder for folder in places() if folder.is_dir()), None)
needs_the_package = pytest.mark.skipif(INSTALLED is None, reason=f"needs the Debian package {PACKAGE}")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """Fashion-MNIST is looked for in one folder that is not there."""
    monkeypatch.setattr(fashion_mnist, "places", lambda: iter([tmp_path / "absent"]))
    return tmp_path / "absent"


def assert_says_what_to_do(message):
    assert PACKAGE in message
    assert all(name in message for name in MNIST_FILES)
    assert "\n" not in message


def test_where_it_is_absent_one_sentence_names_package_and_files(nowhere, tmp_path):
    with pytest.raises(InputError, match=str(nowhere)) as refused:
        load_images("fashion-mnist")
    assert_says_what_to_do(str(refused.value))
    with pytest.raises(InputError, match="no folder") as refused:
        load_images("fashion-mnist", folder=tmp_path / "mine")
    assert_says_what_to_do(str(refused.value))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="train-images") as refused:
        load_images("fashion-mnist", folder=tmp_path / "empty")
    assert_says_what_to_do(str(refused.value))


@pytest.mark.parametrize("study", ["fashion-cnn", "fashion-fcn"])
def test_a_study_without_its_data_is_that_sentence_and_exit_code_2(study, nowhere, capsys, tmp_path):
    assert run_command(["studies"]) == 0
    assert study in capsys.readouterr().out
    assert run_command(["run", study, "--out", str(tmp_path / "runs")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert_says_what_to_do(printed.err.strip())
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_users_own_folder_is_found_and_a_named_one_comes_first(monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "_BELOW", fashion_mnist._BELOW / "of_this_test")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "own"))
    write_mnist(tmp_path / "own" / "datasets" / "fashion-mnist" / "of_this_test", ending=".gz")
    write_mnist(tmp_path / "named", n=(40, 20))
    found = load_images("fashion-mnist")
    assert (len(found.train_x), found.class_names) == (60, CLASSES)
    assert len(load_images("fashion-mnist", folder=tmp_path / "named").train_x) == 40


@needs_the_package
def test_the_package_holds_fashion_mnist_in_full():
    clothes = load_images("fashion-mnist")
    assert clothes.train_x.shape == (60_000, 1, 28, 28)
    assert clothes.test_x.shape == (10_000, 1, 28, 28)
    assert np.bincount(clothes.train_y).tolist() == [6000] * 10
    assert np.bincount(clothes.test_y).tolist() == [1000] * 10
    assert clothes.class_names[1] == "trouser"
    assert clothes.source == f"Fashion-MNIST in {INSTALLED}, 28 x 28 gray pixels: 60000 to train, 10000 to test"
    # Published by the authors: mean 0.2860 and standard deviation 0.3530 of the training pixels in 0..1; read here
    # without our reader.
    stored = gzip.decompress((INSTALLED / "train-images-idx3-ubyte.gz").read_bytes())
    assert struct.unpack(">4I", stored[:16]) == (2051, 60_000, 28, 28)
    pixels = np.frombuffer(stored, dtype=np.uint8, offset=16) / 255
    assert (round(float(pixels.mean()), 4), round(float(pixels.std()), 4)) == (0.2860, 0.3530)


@needs_the_package
def test_a_studys_part_is_drawn_by_its_seed_in_equal_shares():
    settings = ImageSettings(name="fashion-mnist", n_train=200, n_test=100)
    data, again, other = (settings.load(seed) for seed in (0, 0, 1))
    assert (len(data.train), len(data.test), data.n_outputs, data.class_names) == (200, 100, 10, CLASSES)
    assert data.train.inputs.equal(again.train.inputs)
    assert not data.train.inputs.equal(other.train.inputs)
    assert np.bincount(data.train.targets).tolist() == [20] * 10
