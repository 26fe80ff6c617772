"""Image sets by name, cut by seed and standardized by the training split's own mean and spread."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phiscope.errors import InputError, UnknownNameError
from phiscope.studies.datasets.bundled import Samples, StudyData, bundled
from phiscope.studies.datasets.fashion_mnist import read_fashion_mnist
from phiscope.studies.datasets.glyphs import read_glyphs
from phiscope.studies.datasets.hf_folder import read_hf_folder
from phiscope.studies.datasets.image_files import read_cifar10, read_cifar100, read_mnist
from phiscope.studies.datasets.pixels import LabelledPixels, PixelSet, Request, held_out, is_whole, taken


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Pictures with their classes, ready to train on.

    Attributes:
        train_x: float32, shape (n, channels, height, width); every channel has mean 0 and standard deviation 1 over
            the training split (a channel that is constant there is 0).
        train_y: int64, shape (n,), 0 to num_classes - 1.
        test_x: the test split, standardized by the training split's mean and spread.
        test_y: its classes.
        num_classes: C.
        name: as given to ``load_images``.
        source: one sentence that says what the pictures are and how many.
        class_names: a name for each class.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    num_classes: int
    name: str
    source: str
    class_names: tuple[str, ...]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape (channels, height, width) of one picture."""
        return tuple(self.train_x.shape[1:])


def load_images(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> ImageSet:
    """Load an image set, or a part of it with all classes in the shares they have in the whole.

    With the same seed a smaller training split is the beginning of a larger one, and the test split does not depend on
    ``n_train``.

    ============= =================================== ================================= =======================
    name          what it is                          ``folder``                        settings
    ============= =================================== ================================= =======================
    digits        1797 digits from scikit-learn       no                                none
    glyphs        generated characters, any number    optional: keeps what was drawn    num_classes 10 to 62, size,
                                                                                        color, difficulty 0 to 1
    mnist         idx files, gzip-compressed or not   holds train-images-idx3-ubyte...  none
    fashion-mnist the same files with Fashion-MNIST   optional: found where Debian's    none
                                                      dataset-fashion-mnist puts them
    cifar10       the binary version                  holds data_batch_1.bin...         none
    cifar100      the binary version                  holds train.bin, test.bin         labels: "fine" or "coarse"
    hf            saved by Hugging Face ``datasets``, holds dataset_dict.json, or       image, label: columns;
                  or Parquet files of images          *.parquet                         train, test: splits;
                                                                                        size: resize to
    ============= =================================== ================================= =======================

    docs/guide/data.md says where to get the files, and what each setting does.

    Args:
        name: one of the above.
        folder: where the files are.
        n_train: training pictures to take; None takes all (glyphs: 4000).
        n_test: test pictures to take; None takes all (glyphs: 1000, digits: 397).
        seed: decides which pictures are taken, or drawn; 0 to 2³² - 1.
        **settings: the set's own.

    Returns:
        Both splits, standardized.

    Raises:
        UnknownNameError: there is no such image set.
        InputError: a setting the set does not have, more pictures asked for than there are, files that are missing,
            cut short or in another format.
        MissingDependencyError: the set needs a package that is not installed.

    Example:
        >>> digits = load_images("digits", n_train=1000)
        >>> digits.train_x.shape, digits.num_classes
        (torch.Size([1000, 1, 8, 8]), 10)
    """
    if name not in _SETS:
        raise UnknownNameError("image set", name, _SETS)
    kind = _SETS[name]
    _check_settings(name, kind, folder, settings)
    for what, number in (("n_train", n_train), ("n_test", n_test)):
        if number is not None and not is_whole(number, 1):
            raise InputError(f"{what} is a whole number, 1 or more, or None for all, got {what}={number!r}")
    if not is_whole(seed, 0, 2**32 - 1):
        raise InputError(f"a seed is a whole number from 0 to 2^32 - 1, got {seed!r}")
    request = Request(folder=None if folder is None else Path(folder), n_train=n_train, n_test=n_test, seed=seed)
    pixels = kind.read(request, **settings)
    train_x, test_x = _standardized(pixels.train.pixels, pixels.test.pixels)
    return ImageSet(
        train_x=train_x,
        train_y=torch.from_numpy(pixels.train.classes),
        test_x=test_x,
        test_y=torch.from_numpy(pixels.test.classes),
        num_classes=len(pixels.class_names),
        name=name,
        source=f"{pixels.what}: {len(train_x)} to train, {len(test_x)} to test",
        class_names=pixels.class_names,
    )


@dataclass(frozen=True, kw_only=True)
class ImageSettings:
    """A part of an image set that needs no folder to be named, as a study's data.

    Attributes:
        name: as `load_images` knows it.
        n_train: training pictures.
        n_test: test pictures.
    """

    name: str
    n_train: int
    n_test: int

    def load(self, seed: int) -> StudyData:
        """Draw the pictures of both splits, classes in equal shares.

        Raises:
            InputError: the files are not there, or hold fewer pictures.
        """
        images = load_images(self.name, n_train=self.n_train, n_test=self.n_test, seed=seed)
        return StudyData(
            train=Samples(inputs=images.train_x, targets=images.train_y),
            test=Samples(inputs=images.test_x, targets=images.test_y),
            n_outputs=images.num_classes,
            description=images.source,
            class_names=images.class_names,
        )


@dataclass(frozen=True, kw_only=True)
class _Kind:
    read: Callable[..., PixelSet]
    folder: str  # "none", "needed" or "optional"
    settings: tuple[str, ...] = ()


def _check_settings(name: str, kind: _Kind, folder: object, settings: Mapping[str, Any]) -> None:
    unknown = sorted(set(settings) - set(kind.settings))
    if unknown:
        known = f"its settings are {', '.join(kind.settings)}" if kind.settings else "it has none"
        raise InputError(f"the image set {name!r} has no setting {', '.join(unknown)}; {known}")
    if kind.folder == "needed" and folder is None:
        raise InputError(f"the image set {name!r} is read from files: name their folder with folder=")
    if kind.folder == "none" and folder is not None:
        raise InputError(f"the image set {name!r} is not read from files; leave folder out, got folder={folder}")


_DIGITS_TO_TEST = 397  # of 1797: as many to train as in the study digits-cnn


def _digits(request: Request) -> PixelSet:
    images, classes = bundled("load_digits")
    whole = LabelledPixels(pixels=images.astype(np.uint8).reshape(-1, 1, 8, 8), classes=classes.astype(np.int64))
    n_test = _DIGITS_TO_TEST if request.n_test is None else request.n_test
    train, test = held_out(whole.classes, n_train=request.n_train, n_test=n_test, seed=request.seed)
    return PixelSet(
        train=taken(whole, train),
        test=taken(whole, test),
        class_names=tuple("0123456789"),
        what="scikit-learn's handwritten digits, 8 x 8 gray pixels",
    )


def _standardized(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    # 256 values a channel: the statistics are exact from a histogram, and the scaling is a lookup.
    levels = np.arange(256, dtype=np.float64)
    scaled = tuple(np.empty(pixels.shape, dtype=np.float32) for pixels in (train, test))
    for channel in range(train.shape[1]):
        counts = np.bincount(train[:, channel].ravel(), minlength=256)
        mean = counts @ levels / counts.sum()
        spread = np.sqrt(counts @ (levels - mean) ** 2 / counts.sum())
        table = ((levels - mean) / (spread or 1.0)).astype(np.float32)
        for pixels, after in zip((train, test), scaled, strict=True):
            after[:, channel] = table[pixels[:, channel]]
    first, second = (torch.from_numpy(after) for after in scaled)
    return first, second


_SETS: Mapping[str, _Kind] = MappingProxyType(
    {
        "digits": _Kind(read=_digits, folder="none"),
        "glyphs": _Kind(read=read_glyphs, folder="optional", settings=("num_classes", "size", "color", "difficulty")),
        "mnist": _Kind(read=read_mnist, folder="needed"),
        "fashion-mnist": _Kind(read=read_fashion_mnist, folder="optional"),
        "cifar10": _Kind(read=read_cifar10, folder="needed"),
        "cifar100": _Kind(read=read_cifar100, folder="needed", settings=("labels",)),
        "hf": _Kind(read=read_hf_folder, folder="needed", settings=("image", "label", "train", "test", "size")),
    }
)
