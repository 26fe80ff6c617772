"""MNIST and CIFAR from the files they are published in: idx, and CIFAR's binary version. Nothing is unpickled."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError
from phiscope.studies.datasets.pixels import LabelledPixels, PixelSet, Request, drawn, taken

MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of MNIST and of the sets in its format."""

_CIFAR_PIXELS = 3 * 32 * 32


def read_mnist(request: Request) -> PixelSet:
    """Read MNIST, or another set in its four files (Fashion-MNIST, Kuzushiji-MNIST).

    The files lie in the folder or in its MNIST/raw: train-images-idx3-ubyte, train-labels-idx1-ubyte,
    t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte, each also with a dot for the second hyphen, each also
    compressed (.gz).

    Raises:
        InputError: a file is missing, cut short or no idx file, or the files do not belong together.
    """
    folder = _existing(request.folder)
    train = _idx_split(folder, "train", request.n_train, "train", request.seed)
    test = _idx_split(folder, "t10k", request.n_test, "test", request.seed)
    if train.pixels.shape[1:] != test.pixels.shape[1:]:
        raise InputError(
            f"pictures to train and to test must be of one size, got {train.pixels.shape[2:]} and "
            f"{test.pixels.shape[2:]} in {folder}"
        )
    height, width = train.pixels.shape[2:]
    return PixelSet(
        train=train,
        test=test,
        class_names=tuple("0123456789"),
        what=f"MNIST files in {folder}, {height} x {width} gray pixels",
    )


def _idx_split(folder: Path, part: str, n: int | None, split: str, seed: int) -> LabelledPixels:
    images = read_idx(_idx_file(folder, f"{part}-images", "idx3-ubyte"), axes=3)
    path = _idx_file(folder, f"{part}-labels", "idx1-ubyte")
    labels = read_idx(path, axes=1)
    if len(images) != len(labels):
        raise InputError(f"{path} has {len(labels)} labels for the {len(images)} pictures beside it")
    _check_labels(path, labels, 10)
    classes = labels.astype(np.int64)
    rows = drawn(classes, n, seed=seed, split=split)
    return taken(LabelledPixels(pixels=images[:, None], classes=classes), rows)


def _idx_file(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{joint}{kind}{ending}" for joint in "-." for ending in ("", ".gz")]
    try:
        return _found(folder, ("MNIST/raw", "raw"), names, f"{stem}-{kind} or {stem}-{kind}.gz")
    except InputError as error:
        raise InputError(f"{error}; the four files are {', '.join(MNIST_FILES)}, each also as .gz") from error


def read_idx(path: Path, *, axes: int) -> NDArray[np.uint8]:
    """Read an idx file of bytes, compressed by gzip or not (which its first bytes tell, not its name).

    The format: two zero bytes, 0x08 for bytes, the number of axes, each axis as four bytes, highest first; the rest
    is the array.

    Args:
        path: the file.
        axes: number of axes it must have.

    Raises:
        InputError: it is cut short, damaged, or not such a file.
    """
    stored = path.read_bytes()
    if stored[:2] == b"\x1f\x8b":
        try:
            stored = gzip.decompress(stored)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is damaged or was cut short ({error}); get the file again") from error
    if stored[:4] != bytes((0, 0, 8, axes)):
        raise InputError(
            f"{path} is not an idx file of bytes with {axes} axes: it begins with {stored[:4].hex(' ') or 'nothing'}, "
            f"expected {bytes((0, 0, 8, axes)).hex(' ')}"
        )
    if len(stored) < 4 + 4 * axes:
        raise InputError(
            f"{path} was cut short: {len(stored)} bytes came, its head alone has {4 + 4 * axes}; get it again"
        )
    shape = tuple(int(length) for length in np.frombuffer(stored, dtype=">u4", count=axes, offset=4))
    expected, came = math.prod(shape), len(stored) - 4 - 4 * axes
    if came != expected or not expected:
        told = "was cut short" if came < expected else "is damaged" if expected else "is empty"
        raise InputError(
            f"{path} {told}: its head announces {' x '.join(map(str, shape))} = {expected} bytes, {came} follow; "
            "get the file again"
        )
    return np.frombuffer(stored, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


@dataclass(frozen=True, kw_only=True)
class _Cifar:
    """How one of the two sets lies in its files.

    Attributes:
        title: for messages and the page.
        train: names of the training files.
        test: name of the test file.
        classes: number of classes.
        label_bytes: bytes before the pixels of a picture.
        label: which of them is the class.
        names: the text file with the names of the classes.
        archive: what the files come in.
        pickled: files by which the version for Python is recognized.
    """

    title: str
    train: tuple[str, ...]
    test: str
    classes: int
    label_bytes: int
    label: int
    names: str
    archive: str
    pickled: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.archive.removesuffix('-binary.tar.gz')}-b{'atches-bin' if self.classes == 10 else 'inary'}"


def read_cifar10(request: Request) -> PixelSet:
    """Read CIFAR-10 in its binary version: data_batch_1.bin to data_batch_5.bin and test_batch.bin.

    Raises:
        InputError: a file is missing, cut short or of another set, or the folder holds the version for Python.
    """
    kind = _Cifar(
        title="CIFAR-10",
        train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        classes=10,
        label_bytes=1,
        label=0,
        names="batches.meta.txt",
        archive="cifar-10-binary.tar.gz",
        pickled=("data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    )
    return _read_cifar(kind, request)


def read_cifar100(request: Request, *, labels: str = "fine") -> PixelSet:
    """Read CIFAR-100 in its binary version: train.bin and test.bin.

    Args:
        request: what was asked for.
        labels: "fine" for the 100 classes, "coarse" for the 20 they belong to.

    Raises:
        InputError: a file is missing, cut short or of another set, the folder holds the version for Python, or the
            labels are neither fine nor coarse.
    """
    if labels not in ("fine", "coarse"):
        raise InputError(f'the labels of CIFAR-100 are "fine" or "coarse", got labels={labels!r}')
    kind = _Cifar(
        title="CIFAR-100",
        train=("train.bin",),
        test="test.bin",
        classes=100 if labels == "fine" else 20,
        label_bytes=2,
        label=1 if labels == "fine" else 0,
        names=f"{labels}_label_names.txt",
        archive="cifar-100-binary.tar.gz",
        pickled=("train", "cifar-100-python", "cifar-100-python.tar.gz"),
    )
    return _read_cifar(kind, request)


def _read_cifar(kind: _Cifar, request: Request) -> PixelSet:
    folder = _existing(request.folder)
    train = _cifar_split(kind, folder, kind.train, request.n_train, "train", request.seed)
    test = _cifar_split(kind, folder, (kind.test,), request.n_test, "test", request.seed)
    return PixelSet(
        train=train,
        test=test,
        class_names=_class_names(kind, _cifar_file(kind, folder, kind.test).with_name(kind.names)),
        what=f"{kind.title} in {folder}, 32 x 32 pixels in color, {kind.classes} classes",
    )


def _cifar_split(
    kind: _Cifar, folder: Path, names: Sequence[str], n: int | None, split: str, seed: int
) -> LabelledPixels:
    paths = [_cifar_file(kind, folder, name) for name in names]
    records = np.concatenate([_cifar_records(kind, path) for path in paths])
    classes = records[:, kind.label].astype(np.int64)
    rows = drawn(classes, n, seed=seed, split=split)
    pixels = records[rows, kind.label_bytes :].reshape(-1, 3, 32, 32)
    return LabelledPixels(pixels=pixels, classes=classes[rows])


def _cifar_records(kind: _Cifar, path: Path) -> NDArray[np.uint8]:
    stored = np.fromfile(path, dtype=np.uint8)
    length = kind.label_bytes + _CIFAR_PIXELS
    if not len(stored) or len(stored) % length:
        raise InputError(
            f"{path} was cut short or is not {kind.title}'s binary version: it has {len(stored)} bytes, expected a "
            f"multiple of {length} ({kind.label_bytes} for the label, 3072 for the pixels); get the file again"
        )
    records = stored.reshape(-1, length)
    _check_labels(path, records[:, kind.label], kind.classes)
    return records


def _cifar_file(kind: _Cifar, folder: Path, name: str) -> Path:
    try:
        return _found(folder, (kind.folder,), [name], name)
    except InputError as error:
        pickled = [other for other in kind.pickled if (folder / other).exists()]
        if pickled:
            raise InputError(
                f"{folder / pickled[0]} is {kind.title}'s version for Python, which is made of pickles that can run "
                f"foreign code; phiscope reads the binary version, {kind.archive}, with {', '.join(kind.train)} and "
                f"{kind.test}"
            ) from error
        raise InputError(
            f"{error}; it comes in {kind.archive}, unpacked with tar -xzf, and the files are "
            f"{', '.join(kind.train)} and {kind.test}"
        ) from error


def _class_names(kind: _Cifar, path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return tuple(map(str, range(kind.classes)))
    names = tuple(path.read_text(encoding="utf-8").split())
    if len(names) != kind.classes:
        raise InputError(f"{path} has {len(names)} names for {kind.classes} classes; get the file again")
    return names


def _check_labels(path: Path, labels: NDArray[np.uint8], classes: int) -> None:
    if labels.max() >= classes:
        raise InputError(
            f"{path} has the label {labels.max()}, expected 0 to {classes - 1}: it is damaged or of another set"
        )


def _existing(folder: Path | None) -> Path:
    if folder is None or not folder.is_dir():
        raise InputError(f"there is no folder {folder} to read image files from")
    return folder


def _found(folder: Path, below: Sequence[str], names: Sequence[str], told: str) -> Path:
    for place in (folder, *(folder / part for part in below)):
        for name in names:
            if (place / name).is_file():
                return place / name
    held = sorted(path.name for path in folder.iterdir())
    there = ", ".join(held[:8]) + (", ..." if len(held) > 8 else "")
    raise InputError(f"there is no {told} in {folder} (which holds {there or 'nothing'})")
