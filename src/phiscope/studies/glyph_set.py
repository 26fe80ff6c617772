"""The image set "glyphs": drawn when asked for, and kept in a folder when one is named."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from phiscope.errors import InputError
from phiscope.studies.glyph_shapes import CHARACTERS
from phiscope.studies.glyphs import DRAWING_VERSION, GlyphSettings, draw_glyphs
from phiscope.studies.pixels import LabelledPixels, PixelSet, Request

_TRAIN, _TEST = 4000, 1000


def read_glyphs(
    request: Request, *, num_classes: int = 10, size: int = 28, color: bool = False, difficulty: float = 0.5
) -> PixelSet:
    """Draw the glyphs that were asked for, or read them where an earlier call has kept them.

    Args:
        request: number and seed; its folder, if any, keeps what was drawn as one .npz file for each choice.
        num_classes: see ``GlyphSettings``.
        size: see ``GlyphSettings``.
        color: see ``GlyphSettings``.
        difficulty: see ``GlyphSettings``.

    Raises:
        InputError: a setting is out of range, or a kept file is damaged.
        MissingDependencyError: Pillow or matplotlib is not installed.
    """
    settings = GlyphSettings(num_classes=num_classes, size=size, color=color, difficulty=difficulty)
    n_train = _TRAIN if request.n_train is None else request.n_train
    n_test = _TEST if request.n_test is None else request.n_test
    splits = tuple(
        _split(request.folder, settings, n, seed=request.seed, split=split) for split, n in enumerate((n_train, n_test))
    )
    return PixelSet(
        train=splits[0],
        test=splits[1],
        class_names=tuple(CHARACTERS[:num_classes]),
        what=f"generated glyphs of {num_classes} characters, {size} x {size} {'color' if color else 'gray'} pixels, "
        f"difficulty {difficulty:g}, seed {request.seed}",
    )


def _split(folder: Path | None, settings: GlyphSettings, n: int, *, seed: int, split: int) -> LabelledPixels:
    if folder is None:
        return draw_glyphs(settings, n, seed=seed, split=split)
    look = f"{settings.num_classes}x{settings.size}{'color' if settings.color else 'gray'}-{settings.difficulty!r}"
    path = folder / f"glyphs{DRAWING_VERSION}-{look}-seed{seed}-{('train', 'test')[split]}{n}.npz"
    if path.exists():
        return _kept(path, settings, n)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; folder must be one to keep glyphs in")
    glyphs = draw_glyphs(settings, n, seed=seed, split=split)
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place and then moved there: whoever reads at the same moment, or after a kill, finds all or nothing.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            np.savez(file, pixels=glyphs.pixels, classes=glyphs.classes)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return glyphs


def _kept(path: Path, settings: GlyphSettings, n: int) -> LabelledPixels:
    shape = (n, 3 if settings.color else 1, settings.size, settings.size)
    try:
        # Opened here: of a damaged file NumPy forgets to close its own.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            pixels, classes = held["pixels"], held["classes"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); delete it, and it is drawn again") from error
    if pixels.shape != shape or classes.shape != (n,) or pixels.dtype != np.uint8 or classes.dtype != np.int64:
        raise InputError(f"{path} does not hold {n} glyphs of shape {shape[1:]}; delete it, and they are drawn again")
    return LabelledPixels(pixels=pixels, classes=classes)
