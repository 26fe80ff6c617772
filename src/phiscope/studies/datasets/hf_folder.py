"""Images in a folder written by Hugging Face ``datasets``: ``save_to_disk``, or Parquet files with an image column."""

from __future__ import annotations

import importlib
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError, MissingDependencyError, TargetError, UnknownNameError
from phiscope.studies.datasets.pixels import LabelledPixels, PixelSet, Request, drawn, held_out, is_whole


def read_hf_folder(
    request: Request,
    *,
    image: str | None = None,
    label: str | None = None,
    train: str = "train",
    test: str | None = None,
    size: int | None = None,
) -> PixelSet:
    """Read images and their classes from a folder of Hugging Face ``datasets``.

    Pictures become gray when all are gray and color otherwise; transparency is left out. Nothing is downloaded and
    no code of the folder is run.

    Args:
        request: the folder, and how many pictures.
        image: column of the pictures; None takes the only one of its kind.
        label: column of the classes; None takes the only one with named classes, else the only one of whole numbers.
        train: split to train on; a folder without splits counts as this one.
        test: split to test on; None takes "test", else "validation". Where neither is, ``n_test`` pictures of the
            training split are held out.
        size: side in pixels to scale all pictures to; None needs pictures of one size.

    Raises:
        MissingDependencyError: ``datasets`` or Pillow is not installed.
        InputError: the folder holds no such data, its columns or splits leave a choice, or pictures differ in size.
        TargetError: labels that are missing, or in the test split only.
        UnknownNameError: there is no such column or split.
    """
    datasets = _library()
    splits = _open(datasets, request.folder)
    learnt = _split_named(splits, train)
    columns = _Columns(datasets, learnt, image, label)
    test_name = test if test is not None else next((name for name in ("test", "validation") if name in splits), None)
    train_classes = columns.classes(learnt, train)
    if test_name is None or test_name == train:
        if request.n_test is None:
            raise InputError(f"{request.folder} has no test split; say with n_test= how many pictures to hold out")
        rows = held_out(train_classes, n_train=request.n_train, n_test=request.n_test, seed=request.seed)
        chosen = [(learnt, train_classes, rows[0]), (learnt, train_classes, rows[1])]
    else:
        tested = _split_named(splits, test_name)
        test_classes = columns.classes(tested, test_name)
        chosen = [
            (learnt, train_classes, drawn(train_classes, request.n_train, seed=request.seed, split="train")),
            (tested, test_classes, drawn(test_classes, request.n_test, seed=request.seed, split="test")),
        ]
    pictures = [columns.pictures(rows_of, rows) for rows_of, _, rows in chosen]
    arrays = _as_arrays(pictures, size)
    first, second = (
        LabelledPixels(pixels=pixels, classes=classes[rows])
        for pixels, (_, classes, rows) in zip(arrays, chosen, strict=True)
    )
    channels, height, width = first.pixels.shape[1:]
    return PixelSet(
        train=first,
        test=second,
        class_names=columns.class_names,
        what=f"images of {request.folder}, {height} x {width} {'gray' if channels == 1 else 'color'} pixels, split "
        f"{train!r} and {'a part of it' if chosen[1][0] is learnt else repr(test_name)} to test",
    )


def _library() -> ModuleType:
    try:
        library = importlib.import_module("datasets")
        importlib.import_module("PIL.Image")  # which it decodes with
    except ImportError as error:
        raise MissingDependencyError("datasets", purpose="reading a Hugging Face folder", extra="hf") from error
    return library


def _open(datasets: ModuleType, folder: Path | None) -> Mapping[str, Any]:
    if folder is None or not folder.is_dir():
        raise InputError(f"there is no folder {folder} to read images from")
    try:
        if (folder / "dataset_dict.json").is_file():
            return dict(datasets.load_from_disk(str(folder)))
        if (folder / "dataset_info.json").is_file():
            return {"train": datasets.load_from_disk(str(folder))}
        files = _parquet_splits(folder)
        if files:
            return {split: _read_parquet(datasets, paths) for split, paths in files.items()}
    except IndexError as error:  # what the library says of a saved set without rows
        raise InputError(f"{folder} holds no rows, expected pictures with their classes") from error
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        # The library's own error only says that there was one.
        reason = error.__cause__ if isinstance(error, datasets.exceptions.DatasetsError) else error
        raise InputError(f"{folder} cannot be read as a folder of Hugging Face datasets: {reason}") from error
    raise InputError(
        f"{folder} is no folder of Hugging Face datasets: expected dataset_dict.json or dataset_info.json, as "
        "save_to_disk writes them, or .parquet files"
    )


def _parquet_splits(folder: Path) -> dict[str, list[str]]:
    """Files by split: train-00000-of-00002.parquet, train/0000.parquet or train.parquet belong to "train"."""
    splits: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        part = re.fullmatch(r"(.+?)-\d+-of-\d+(?:-\w+)?", path.stem)
        if part:
            name = part[1]
        else:
            name = path.parent.name if path.parent != folder and re.fullmatch(r"\d+", path.stem) else path.stem
        splits.setdefault(name, []).append(str(path))
    if len(splits) == 1:
        return {"train": next(iter(splits.values()))}
    return splits


def _read_parquet(datasets: ModuleType, paths: Sequence[str]) -> Any:
    # The library keeps a converted copy of Parquet files; this one goes when the rows are in memory.
    with tempfile.TemporaryDirectory() as copies:
        return datasets.Dataset.from_parquet(list(paths), cache_dir=copies, keep_in_memory=True)


def _split_named(splits: Mapping[str, Any], name: str) -> Any:
    if name not in splits:
        raise UnknownNameError("split", name, splits)
    return splits[name]


class _Columns:
    """Which columns hold the pictures and the classes, found in the training split."""

    def __init__(self, datasets: ModuleType, rows: Any, image: str | None, label: str | None) -> None:
        features = dict(rows.features)
        whole = [name for name, kind in features.items() if str(getattr(kind, "dtype", "")).startswith(("int", "uint"))]
        named = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
        pictured = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        self.image = _chosen("image", image, pictured, features)
        self.label = _chosen("label", label, named or whole, features)
        kind = features[self.label]
        self._undecoded = datasets.Image(decode=False)
        self._values: NDArray[np.int64] | None = None
        if isinstance(kind, datasets.ClassLabel):
            self.class_names = tuple(kind.names)
        else:
            self._values = np.unique(self._numbers(rows))
            self.class_names = tuple(map(str, self._values))

    def classes(self, rows: Any, split: str) -> NDArray[np.int64]:
        """Classes of all rows, 0 and up."""
        numbers = self._numbers(rows)
        known = np.arange(len(self.class_names)) if self._values is None else self._values
        strange = sorted(set(numbers.tolist()) - set(known.tolist()))
        if strange:
            told = "it comes without labels" if strange == [-1] else "the training split does not have them"
            raise TargetError(f"the split {split!r} has the labels {', '.join(map(str, strange[:5]))}: {told}")
        return np.searchsorted(known, numbers).astype(np.int64)

    def _numbers(self, rows: Any) -> NDArray[np.int64]:
        labels = rows.with_format(None)[self.label][:]
        if not len(labels) or not all(isinstance(number, int) for number in labels):
            raise TargetError(f"the column {self.label!r} must hold a whole number in every row, to be read as classes")
        return np.asarray(labels, dtype=np.int64)

    def pictures(self, rows: Any, chosen: NDArray[np.int64]) -> list[Any]:
        """The pictures of these rows, still of their own sizes and modes."""
        # Not decoded by the library, which would also open whatever path or address a row names.
        stored = rows.with_format(None).cast_column(self.image, self._undecoded).select(chosen.tolist())[self.image]
        return [_opened(cell, int(row), self.image) for row, cell in zip(chosen, stored, strict=True)]


def _opened(cell: Mapping[str, Any] | None, row: int, column: str) -> Any:
    from PIL import Image, ImageOps

    if cell is None or cell["bytes"] is None:
        told = (
            "no picture"
            if cell is None or not cell["path"]
            else f"the name of a file, {cell['path']}, and not its bytes"
        )
        raise InputError(
            f"row {row} of the column {column!r} holds {told}; save the set with save_to_disk, which stores pictures"
        )
    try:
        # Cameras store a turned picture and the turn beside it.
        return ImageOps.exif_transpose(Image.open(io.BytesIO(cell["bytes"])))
    except OSError as error:
        raise InputError(f"row {row} of the column {column!r} is a picture that cannot be opened: {error}") from error


def _chosen(kind: str, wanted: str | None, fitting: Sequence[str], features: Mapping[str, Any]) -> str:
    if wanted is not None:
        if wanted not in features:
            raise UnknownNameError("column", wanted, features)
        if kind == "image" and wanted not in fitting:
            raise InputError(f"the column {wanted!r} does not hold images but {features[wanted]}")
        return wanted
    if len(fitting) != 1:
        raise InputError(
            f"the columns are {', '.join(features)}, and {', '.join(fitting) or 'none'} could hold the {kind}s; name "
            f"the right one with {kind}="
        )
    return fitting[0]


def _as_arrays(splits: Sequence[Sequence[Any]], size: int | None) -> list[NDArray[np.uint8]]:
    from PIL import Image

    pictures = [picture for split in splits for picture in split]
    modes = {str(picture.mode) for picture in pictures}
    deep = sorted(mode for mode in modes if mode.startswith(("I", "F")))
    if deep:
        raise InputError(f"pictures must have 8 bits a channel, got some of mode {', '.join(deep)}")
    sizes = {picture.size for picture in pictures}
    if size is None and len(sizes) > 1:
        told = ", ".join(f"{width} x {height}" for width, height in sorted(sizes)[:3])
        raise InputError(f"pictures are of {len(sizes)} sizes ({told}, ...); give size= to scale them to one")
    if size is not None and not is_whole(size, 1):
        raise InputError(f"size is a side in pixels, 1 or more, got size={size!r}")
    mode = "L" if modes <= {"1", "L", "LA"} else "RGB"
    arrays = []
    for split in splits:
        shown = [picture.convert(mode) for picture in split]
        if size is not None:
            shown = [picture.resize((size, size), Image.Resampling.BILINEAR) for picture in shown]
        stacked = np.stack([np.asarray(picture, dtype=np.uint8) for picture in shown])
        arrays.append(stacked[:, None] if mode == "L" else stacked.transpose(0, 3, 1, 2))
    return arrays
