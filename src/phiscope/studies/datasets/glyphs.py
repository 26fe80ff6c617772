"""Glyphs: a generated image set, characters of many fonts turned, bent, moved, cluttered and covered with noise.

The set is OURS. It needs no download, has as many pictures as wanted, and is hard enough that architectures differ: a
convolutional network reads what a fully connected one does not. Pictures are drawn when asked for, and kept when a
folder for them is named.
"""

from __future__ import annotations

import math
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phiscope.errors import InputError
from phiscope.studies.datasets.glyph_shapes import CHARACTERS, FACES, OVERSAMPLING, STROKES, Shapes
from phiscope.studies.datasets.pixels import LabelledPixels, PixelSet, Request, is_whole

_TRAIN, _TEST = 4000, 1000

# Raised with every change that moves a pixel, so that a stored set is never taken for another one.
DRAWING_VERSION = 1

# At difficulty 1; every one falls in proportion, to nothing at 0.
_TURN = math.radians(45)  # either way
_SHEAR = 0.5  # either way
_STRETCH = 0.3  # factor exp(±0.3) along, its inverse across
_SHIFT = 0.3  # either way, in sides of the picture
_SHRINK = 0.6  # lost of the full size, at most
_PALE = 0.7  # lost of the full contrast, at most
_INVERTED = 0.8  # probability of dark on bright
_PIECES = 8  # pieces of other characters, at most
_RAMP = 0.5  # brightness gained across the picture, at most
_NOISE = 0.15  # standard deviation of each pixel, 1 being white

_FOUR_BYTES = math.sqrt(4 * (256**2 - 1) / 12)  # standard deviation of the sum of four bytes
_RANDOM_NUMBERS = 512  # more than a picture with eight pieces in three channels takes


@dataclass(frozen=True, kw_only=True)
class GlyphSettings:
    """What the pictures look like.

    Attributes:
        num_classes: 10 to 62: digits, then capitals, then small letters.
        size: side of a picture in pixels, 12 to 256.
        color: three channels instead of one.
        difficulty: 0 (upright, centered, clean; only the font varies) to 1; every distortion grows in proportion.

    Raises:
        InputError: one of them is out of its range.
    """

    num_classes: int = 10
    size: int = 28
    color: bool = False
    difficulty: float = 0.5

    def __post_init__(self) -> None:
        if not is_whole(self.num_classes, 10, len(CHARACTERS)):
            raise InputError(f"glyphs have 10 to {len(CHARACTERS)} classes, got num_classes={self.num_classes!r}")
        if not is_whole(self.size, 12, 256):
            raise InputError(f"glyphs are pictures of 12 to 256 pixels a side, got size={self.size!r}")
        hard: object = self.difficulty
        if not (isinstance(hard, int | float) and 0 <= hard <= 1):
            raise InputError(f"the difficulty of glyphs is a number from 0 to 1, got difficulty={self.difficulty!r}")


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


def draw_glyphs(settings: GlyphSettings, n: int, *, seed: int, split: int) -> LabelledPixels:
    """Draw the first n pictures of a split.

    Every picture has random numbers of its own, so that fewer pictures are the beginning of more. Every run of
    ``num_classes`` pictures, counted from the first, has each class once.

    Args:
        settings: what they look like.
        n: number of pictures.
        seed: decides all of them.
        split: 0, 1, ...: other pictures of the same kind.

    Raises:
        MissingDependencyError: Pillow or matplotlib is not installed.
        InputError: the installed matplotlib comes without its fonts.

    Example:
        >>> glyphs = draw_glyphs(GlyphSettings(), 20, seed=0, split=0)
        >>> glyphs.pixels.shape, np.bincount(glyphs.classes).tolist()
        ((20, 1, 28, 28), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    shapes, side = Shapes(settings.size), settings.size
    runs = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(split,)))
    # Row by row from one stream: more runs leave the first ones as they were.
    order = runs.random((-(-n // settings.num_classes), settings.num_classes)).argsort(axis=1)
    classes = order.reshape(-1)[:n].astype(np.int64)
    pixels = np.empty((n, 3 if settings.color else 1, side, side), dtype=np.uint8)
    for row, number in enumerate(classes.tolist()):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(split, row))))
        pixels[row] = _picture(settings, shapes, number, rng)
    return LabelledPixels(pixels=pixels, classes=classes)


class _Chances:
    """Random numbers drawn at once, as a call for each one would take most of the time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._left = iter(rng.random(_RANDOM_NUMBERS).tolist())

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(next(self._left))

    def within(self, reach: float) -> float:
        return self.between(-reach, reach)

    def below(self, count: int) -> int:
        return int(self.between(0, count))


def _picture(settings: GlyphSettings, shapes: Shapes, number: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    chances = _Chances(rng)
    hard, side = settings.difficulty, settings.size
    clutter = np.zeros((side, side), dtype=np.uint8)
    for _ in range(chances.below(round(_PIECES * hard) + 1)):
        _add_piece(clutter, settings, shapes, number, chances)
    center = side / 2 + chances.within(_SHIFT * hard * side), side / 2 + chances.within(_SHIFT * hard * side)
    scale = chances.between(1.05 - _SHRINK * hard, 1.05)
    glyph = _placed(shapes, CHARACTERS[number], center, scale, side, hard, chances)
    channels = 3 if settings.color else 1
    grounds, inks, pieces = np.zeros((3, channels, 1, 1))
    loudest = chances.below(channels)  # the channel in which the character is sure to stand out
    ramp = _ramp(side, _RAMP * hard * chances.between(0, 1), chances.within(math.pi))
    for channel in range(channels):
        contrast = chances.between(1 - _PALE * hard, 1) * (1 if channel == loudest else chances.between(0, 1))
        dark = chances.between(0, 1) * (1 - contrast)
        inverted = chances.between(0, 1) < _INVERTED * hard
        grounds[channel] = dark + contrast if inverted else dark
        inks[channel] = -contrast if inverted else contrast
        pieces[channel] = chances.between(0.4, 0.9)
    covered = np.maximum(glyph / 255, pieces * (clutter / 255))
    bright = grounds + ramp + inks * covered
    # Four bytes added up are normal enough, and whole numbers are the same on every machine.
    noise = rng.integers(0, 256, (4, channels, side, side), dtype=np.uint8).sum(axis=0, dtype=np.int32) - 510
    bright += noise * (_NOISE * hard / _FOUR_BYTES)
    shown: NDArray[np.uint8] = np.clip(bright * 255 + 0.5, 0, 255).astype(np.uint8)
    return shown


def _add_piece(
    clutter: NDArray[np.uint8], settings: GlyphSettings, shapes: Shapes, number: int, chances: _Chances
) -> None:
    other = (number + 1 + chances.below(settings.num_classes - 1)) % settings.num_classes
    side = round(chances.between(0.2, 0.45) * settings.size)
    left, top = (chances.below(settings.size - side + 1) for _ in range(2))
    # Centered somewhere in its window, so that the window shows a part of it.
    center = chances.between(0, side), chances.between(0, side)
    scale = chances.between(0.5, 1.0)
    piece = _placed(shapes, CHARACTERS[other], center, scale, side, settings.difficulty, chances)
    window = clutter[top : top + side, left : left + side]
    np.maximum(window, piece, out=window)


def _placed(
    shapes: Shapes,
    character: str,
    center: tuple[float, float],
    scale: float,
    side: int,
    hard: float,
    chances: _Chances,
) -> NDArray[np.uint8]:
    """A character's ink in a window, 0 to 255; scale 1 makes the em as long as the picture's side."""
    from PIL import Image

    bitmap = shapes.bitmap(chances.below(len(FACES)), character, chances.below(STROKES) if hard else 0)
    turn, shear, stretch = (chances.within(reach * hard) for reach in (_TURN, _SHEAR, _STRETCH))
    coefficients = _affine(center, scale, turn, shear, stretch, shapes.side / 2)
    window: Any = bitmap.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(window)


def _affine(
    center: tuple[float, float], scale: float, turn: float, shear: float, stretch: float, middle: float
) -> tuple[float, float, float, float, float, float]:
    """From places in the picture to places in the bitmap: the inverse of stretching, then shearing, then turning."""
    along, across = scale * math.exp(stretch) / OVERSAMPLING, scale * math.exp(-stretch) / OVERSAMPLING
    cosine, sine = math.cos(turn), math.sin(turn)
    xx, xy = cosine * along, (cosine * shear - sine) * across
    yx, yy = sine * along, (sine * shear + cosine) * across
    area = xx * yy - xy * yx
    a, b, d, e = yy / area, -xy / area, -yx / area, xx / area
    x, y = center
    return a, b, middle - a * x - b * y, d, e, middle - d * x - e * y


def _ramp(side: int, rise: float, direction: float) -> NDArray[np.float64]:
    along = (np.arange(side) + 0.5) / side - 0.5
    ramp: NDArray[np.float64] = rise * (math.cos(direction) * along[None, :] + math.sin(direction) * along[:, None])
    return ramp
