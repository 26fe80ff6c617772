"""MNIST and CIFAR files: written here byte by byte as their pages describe them, and read back."""

import gzip

import numpy as np
import pytest
import torch

from phiscope.errors import InputError
from phiscope.studies.datasets.images import load_images
from published_images import idx, made, write_cifar10, write_cifar100, write_mnist


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
