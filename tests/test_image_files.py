"""MNIST and CIFAR files: written here byte by byte as their pages describe them, and read back."""

import builtins
import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phiscope.errors import InputError, MissingDependencyError, UnknownNameError
from phiscope.studies.datasets.images import load_images
from phiscope.studies.datasets.pixels import drawn, held_out, in_equal_shares


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def made(n, seed, classes=10):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % classes).astype(np.uint8)


def write_mnist(folder, *, joint="-", ending="", n=(60, 30)):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate(zip(("train", "t10k"), n, strict=True)):
        images, labels = made(count, seed)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            stored = idx(array)
            name = f"{part}-{kind.replace('-', joint)}-ubyte{ending}"
            (folder / name).write_bytes(gzip.compress(stored) if ending else stored)


def write_cifar10(folder, n=12):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    records = {}
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        rows = rng.integers(0, 256, (n, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(n) % 10
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
        records[name] = rows
    return records


def write_cifar100(folder, n=200):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        rows = rng.integers(0, 256, (n, 3074), dtype=np.uint8)
        rows[:, 1] = np.arange(n) % 100
        rows[:, 0] = rows[:, 1] // 5
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def ordered(pictures, classes):
    """Both by the first pixels, so that sets in another order can be compared."""
    flat = np.asarray(pictures, dtype=np.float64).reshape(len(pictures), -1)
    rows = np.lexsort(flat[:, :9].T)
    return flat[rows], np.asarray(classes)[rows]


def assert_same_set(pictures, classes, expected, expected_classes):
    (ours, labels), (theirs, named) = ordered(pictures, classes), ordered(expected, expected_classes)
    # float32 of numbers up to 2
    np.testing.assert_allclose(ours, theirs, atol=4e-7)
    assert labels.tolist() == named.tolist()


def standardized(train, test):
    """From the definition, in sample space."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, spread = train.mean((0, 2, 3), keepdims=True), train.std((0, 2, 3), keepdims=True)
    return (train - mean) / spread, (test - mean) / spread


@pytest.mark.parametrize("place", ["", "MNIST/raw", "raw"])
@pytest.mark.parametrize(("joint", "ending"), [("-", ""), (".", ""), ("-", ".gz"), (".", ".gz")])
def test_mnist_is_what_was_written(tmp_path, place, joint, ending):
    write_mnist(tmp_path / place, joint=joint, ending=ending)
    mnist = load_images("mnist", folder=tmp_path)
    (train, labels), (test, test_labels) = made(60, 0), made(30, 1)
    expected, tested = standardized(train[:, None], test[:, None])
    assert (mnist.train_x.dtype, mnist.train_y.dtype) == (torch.float32, torch.int64)
    assert_same_set(mnist.train_x, mnist.train_y, expected, labels)
    assert_same_set(mnist.test_x, mnist.test_y, tested, test_labels)
    assert (mnist.num_classes, mnist.input_shape) == (10, (1, 28, 28))
    assert mnist.source.endswith("28 x 28 gray pixels: 60 to train, 30 to test")


def test_compressed_files_are_known_by_their_first_bytes(tmp_path):
    write_mnist(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_images("mnist", folder=tmp_path).train_x) == 60


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin"])
def test_cifar10_is_what_was_written(tmp_path, place):
    records = write_cifar10(tmp_path / place)
    cifar = load_images("cifar10", folder=tmp_path)
    whole = np.concatenate([records[f"data_batch_{k}"] for k in range(1, 6)])
    # channels first, each 32 x 32 in rows: the second picture's green at row 3, column 4 is byte 1 + 1024 + 3*32 + 4
    pixels = whole[:, 1:].reshape(-1, 3, 32, 32)
    assert pixels[1, 1, 3, 4] == whole[1, 1 + 1024 + 3 * 32 + 4]
    tests = records["test_batch"]
    expected, tested = standardized(pixels, tests[:, 1:].reshape(-1, 3, 32, 32))
    assert_same_set(cifar.train_x, cifar.train_y, expected, whole[:, 0])
    assert_same_set(cifar.test_x, cifar.test_y, tested, tests[:, 0])
    assert cifar.class_names == tuple("0123456789")


def test_names_of_the_classes_are_read_where_they_are(tmp_path):
    write_cifar10(tmp_path)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    assert load_images("cifar10", folder=tmp_path).class_names == tuple(names)
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    with pytest.raises(InputError, match=r"batches.meta.txt has 1 names for 10 classes"):
        load_images("cifar10", folder=tmp_path)


@pytest.mark.parametrize("place", ["", "cifar-100-binary"])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, place):
    write_cifar100(tmp_path / place)
    fine, coarse = load_images("cifar100", folder=tmp_path), load_images("cifar100", folder=tmp_path, labels="coarse")
    assert (fine.num_classes, coarse.num_classes) == (100, 20)
    assert torch.equal(torch.bincount(fine.train_y), torch.full((100,), 2))
    assert torch.equal(torch.bincount(coarse.train_y), torch.full((20,), 10))


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


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 99), data=st.data())
def test_every_beginning_has_the_shares_of_the_whole(counts, seed, data):
    classes = np.repeat(np.arange(len(counts)), counts)
    order = in_equal_shares(classes, seed)
    assert sorted(order.tolist()) == list(range(len(classes)))
    n = data.draw(st.integers(1, len(classes)))
    taken = np.bincount(classes[order[:n]], minlength=len(counts))
    # each class within one of its share, up to what the other classes' rounding leaves
    assert np.abs(taken - n * np.array(counts) / len(classes)).max() <= 1 + len(counts) / 2
    if n == len(classes) and len(counts) == 1 and n > 8:
        assert order.tolist() != sorted(order.tolist())


def test_equal_classes_take_turns():
    classes = np.repeat(np.arange(4), 25)
    for run in classes[in_equal_shares(classes, 0)].reshape(25, 4):
        assert sorted(run.tolist()) == [0, 1, 2, 3]


def test_held_out_rows_do_not_depend_on_the_training_size():
    classes = np.arange(50) % 5
    few, more = (held_out(classes, n_train=n, n_test=10, seed=1) for n in (10, None))
    assert few[1].tolist() == more[1].tolist()
    assert few[0].tolist() == more[0].tolist()[:10]
    assert set(more[0]) | set(more[1]) == set(range(50))
    assert not set(more[0]) & set(more[1])
    with pytest.raises(InputError, match="there are 50 pictures in all, got n_train=41 and n_test=10"):
        held_out(classes, n_train=41, n_test=10, seed=1)
    assert len(drawn(classes, None, seed=0, split="train")) == 50


# what may be wrong with the files


def replace(folder, name, change):
    (folder / name).write_bytes(change((folder / name).read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "train-images-idx3-ubyte",
            lambda stored: stored[:-1],
            r"was cut short: its head announces 60 x 28 x 28 = 47040",
        ),
        ("train-images-idx3-ubyte", lambda stored: stored[:10], "was cut short: 10 bytes came, its head alone has 16"),
        ("train-images-idx3-ubyte", lambda stored: b"", "it begins with nothing, expected 00 00 08 03"),
        ("train-images-idx3-ubyte", lambda stored: b"<html>not found</html>", "it begins with 3c 68 74 6d"),
        ("train-images-idx3-ubyte", lambda stored: stored + b"?", "is damaged: its head"),
        ("train-images-idx3-ubyte", lambda stored: gzip.compress(stored)[:900], "is damaged or was cut short"),
        ("train-images-idx3-ubyte", lambda stored: idx(np.zeros((0, 28, 28), np.uint8)), "is empty"),
        ("t10k-images-idx3-ubyte", lambda stored: idx(np.zeros((30, 8, 8), np.uint8)), "must be of one size"),
        ("train-labels-idx1-ubyte", lambda stored: idx(np.zeros(59, np.uint8)), "59 labels for the 60 pictures"),
        ("t10k-labels-idx1-ubyte", lambda stored: idx(np.full(30, 26, np.uint8)), "has the label 26, expected 0 to 9"),
    ],
)
def test_damaged_mnist_files_are_one_sentence(tmp_path, name, change, message):
    write_mnist(tmp_path)
    replace(tmp_path, name, change)
    with pytest.raises(InputError, match=message):
        load_images("mnist", folder=tmp_path)


@pytest.mark.parametrize("missing", ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"])
def test_a_missing_mnist_file_is_named(tmp_path, missing):
    write_mnist(tmp_path)
    (tmp_path / f"{missing}-ubyte").unlink()
    named = rf"there is no {missing}-ubyte or {missing}-ubyte.gz in .* \(which holds t"
    expected = rf"{named}.*the four files are train-images-idx3-ubyte, "
    with pytest.raises(InputError, match=expected):
        load_images("mnist", folder=tmp_path)


def test_a_cut_cifar_file_is_told_apart(tmp_path):
    write_cifar10(tmp_path)
    replace(tmp_path, "data_batch_3.bin", lambda stored: stored[:-5])
    with pytest.raises(InputError, match=r"data_batch_3.bin was cut short .* expected a multiple of 3073"):
        load_images("cifar10", folder=tmp_path)
    replace(tmp_path, "data_batch_3.bin", lambda stored: b"")
    with pytest.raises(InputError, match="it has 0 bytes"):
        load_images("cifar10", folder=tmp_path)


def test_a_missing_cifar_batch_is_named(tmp_path):
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(
        InputError, match=r"no data_batch_4.bin in .*holds data_batch_1.bin.*cifar-10-binary.tar.gz"
    ) as told:
        load_images("cifar10", folder=tmp_path)
    assert str(told.value).endswith("data_batch_3.bin, data_batch_4.bin, data_batch_5.bin and test_batch.bin")


def test_labels_of_another_set_are_refused(tmp_path):
    write_cifar10(tmp_path)
    replace(tmp_path, "test_batch.bin", lambda stored: b"\x4d" + stored[1:])
    with pytest.raises(InputError, match="has the label 77, expected 0 to 9"):
        load_images("cifar10", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "given_name", "wanted"),
    [
        ("cifar10", "data_batch_1", r"cifar-10-binary.tar.gz, with data_batch_1.bin, data_batch_2.bin"),
        ("cifar10", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
        ("cifar100", "train", "cifar-100-binary.tar.gz, with train.bin and test.bin"),
    ],
)
def test_the_version_made_of_pickles_is_refused_with_the_way_out(tmp_path, name, given_name, wanted):
    (tmp_path / given_name).write_bytes(b"\x80\x02}q\x01")
    with pytest.raises(InputError, match=rf"version for Python, which is made of pickles .* {wanted}"):
        load_images(name, folder=tmp_path)


def test_an_empty_and_an_absent_folder(tmp_path):
    with pytest.raises(InputError, match=r"no train.bin in .* \(which holds nothing\); it comes in cifar-100-binary"):
        load_images("cifar100", folder=tmp_path)
    with pytest.raises(InputError, match=r"there is no folder .*absent"):
        load_images("mnist", folder=tmp_path / "absent")


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
    page = (Path(__file__).parents[1] / "docs" / "guide" / "data.md").read_text(encoding="utf-8")
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
