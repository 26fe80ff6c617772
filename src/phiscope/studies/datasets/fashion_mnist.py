"""Fashion-MNIST: where Debian's package puts it, its ten classes, and what to say where it is absent.

Xiao, Rasul and Vollgraf 2017 (arXiv:1708.07747): 60,000 + 10,000 gray pictures of 28 x 28 pixels in MNIST's four files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from phiscope.errors import InputError
from phiscope.studies.datasets.image_files import MNIST_FILES, read_mnist
from phiscope.studies.datasets.pixels import PixelSet, Request

PACKAGE = "dataset-fashion-mnist"
"""Debian's and Ubuntu's package with the four files."""

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""Names of the classes 0 to 9, as the data set's authors give them."""

_BELOW = Path("share", "datasets", "fashion-mnist")


def places() -> Iterator[Path]:
    """Folders in which the files are looked for when none is named: the system's prefixes, then the user's own."""
    for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, "/usr/local", "/usr")):
        yield Path(prefix) / _BELOW
    own = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    yield Path(own) / _BELOW.relative_to("share")


def read_fashion_mnist(request: Request) -> PixelSet:
    """Read Fashion-MNIST from the folder that was named, or else from where its package puts it.

    Raises:
        InputError: it is in none of these places, or a file is missing, cut short or no idx file.
    """
    folder = request.folder if request.folder is not None else _installed()
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} to read Fashion-MNIST from; {_remedy()}")
    try:
        found = read_mnist(replace(request, folder=folder))
    except InputError as error:
        raise InputError(f"{error} (Fashion-MNIST comes with the Debian package {PACKAGE})") from error
    return replace(found, class_names=CLASSES, what=found.what.replace("MNIST files", "Fashion-MNIST", 1))


def _installed() -> Path:
    for folder in places():
        if folder.is_dir():
            return folder
    looked = ", ".join(map(str, places()))
    raise InputError(f"Fashion-MNIST is in none of the folders {looked}; {_remedy()}")


def _remedy() -> str:
    files = ", ".join(f"{name}.gz" for name in MNIST_FILES)
    return f"install the Debian package {PACKAGE}, or name the folder with its four files {files} with folder="
