"""Characters as bitmaps from the fonts that come with matplotlib, to be turned, bent and cut by ``glyphs``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from phiscope.errors import InputError, MissingDependencyError

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# The faces with all characters in the ordinary encoding. DejaVu: Bitstream Vera license, changes in the public domain.
# STIX: STIX font license of 2010. Nothing of them is part of phiscope.
FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
)
STROKES = 3

# A bitmap is this much larger than the picture, so that turning and shrinking do not show its pixels.
OVERSAMPLING = 1.5


class Shapes:
    """Bitmaps of characters, each drawn once.

    Args:
        size: side of the pictures they are for, in pixels.

    Attributes:
        side: side of a bitmap in pixels, two em.
        bitmap: face (index into ``FACES``), character and stroke (0 to ``STROKES`` - 1) to a gray picture, ink 255.

    Raises:
        MissingDependencyError: Pillow or matplotlib is not installed.
        InputError: the installed matplotlib comes without these fonts.
    """

    def __init__(self, size: int) -> None:
        self._fonts = _open_fonts(font_files(), round(OVERSAMPLING * size))
        # Capitals are 0.73 em high and a W is 1.1 em wide: nothing of a thickened or slanted one is cut off.
        self.side = 2 * round(OVERSAMPLING * size)
        self.bitmap = cache(self._draw)

    def _draw(self, face: int, character: str, stroke: int) -> Any:
        from PIL import Image, ImageDraw

        font = self._fonts[face]
        left, top, right, bottom = font.getbbox(character)
        canvas = Image.new("L", (self.side, self.side))
        corner = ((self.side - left - right) // 2, (self.side - top - bottom) // 2)
        ImageDraw.Draw(canvas).text(corner, character, fill=255, font=font)
        # Thickened by a filter and not by the font library's strokes, which differ between its versions: one pixel
        # on each side of a 42-pixel em, which is what pictures of 28 pixels have.
        thick = 2 * round(stroke * self.side / 84) + 1
        return Image.fromarray(maximum_filter(np.asarray(canvas), size=thick))


def font_files() -> tuple[Path, ...]:
    """The files of ``FACES``, in that order.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        InputError: the installed matplotlib comes without these fonts.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingDependencyError(
            "matplotlib", purpose="the image set 'glyphs' is drawn with the fonts in matplotlib and", extra="studies"
        ) from error
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    files = tuple(folder / f"{face}.ttf" for face in FACES)
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise InputError(
            f"the fonts {', '.join(missing)} are not in {folder}; the image set 'glyphs' needs a matplotlib that comes "
            "with its fonts, as the one from PyPI does"
        )
    return files


def _open_fonts(files: Sequence[Path], pixels: int) -> list[Any]:
    try:
        from PIL import ImageFont
    except ImportError as error:
        raise MissingDependencyError(
            "pillow", purpose="the image set 'glyphs' is drawn by Pillow and", extra="studies"
        ) from error
    # The basic layout: the other one needs a library that not every machine has, and would place characters otherwise.
    return [ImageFont.truetype(str(path), pixels, layout_engine=ImageFont.Layout.BASIC) for path in files]
