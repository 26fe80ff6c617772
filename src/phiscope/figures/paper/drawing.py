"""The figure that results return: matplotlib's, and it shows itself in a notebook."""

from __future__ import annotations

import io
import sys
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from phiscope.errors import InputError, RunWriteError
from phiscope.figures.model import Sheet
from phiscope.inputs.settings import path_of

if TYPE_CHECKING:
    from phiscope.figures.paper.draw import Columns

SHOWN_DPI = 96
"""Pixels an inch at which a notebook shows a figure: its size in inches as browsers count them."""

SHARPNESS = 2
"""Pixels drawn for each one shown, in both directions, so that letters stay sharp on dense screens."""


class PlainTicks(LogFormatter):
    """Names the ticks between powers of ten that there is room for as its other ones: 0.4, not 4e-01."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The name of a tick, empty where there is no room."""
        return f"{x:g}" if super().__call__(x, pos) else ""


class Drawing(Figure):
    r"""A ``matplotlib.figure.Figure`` that is shown where a cell ends with it, without pyplot and without any magic.

    It belongs to no global state: nobody has to close it, a hundred of them leave no warning, and where
    ``%matplotlib inline`` is on it is not shown a second time. ``savefig``, ``axes`` and all else are matplotlib's.

    Example:
        >>> drawing = Drawing(figsize=(2.0, 1.0))
        >>> picture, size = drawing._repr_png_()
        >>> picture[:4], size
        (b'\x89PNG', {'width': 192, 'height': 96})
    """

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and the size at which a notebook shows it."""
        picture = io.BytesIO()
        # As large as it was laid out, whatever is set for saved files.
        with rc_context({"savefig.bbox": None}):
            self.savefig(picture, format="png", dpi=SHOWN_DPI * SHARPNESS)
        width, height = self.get_size_inches()
        return picture.getvalue(), {"width": round(width * SHOWN_DPI), "height": round(height * SHOWN_DPI)}

    def _repr_html_(self) -> None:
        """Nothing: with the picture and text beside it a notebook would have to choose."""

    caption: str = ""
    """What belongs below it in a paper: what is drawn, of how many samples, in which units, with which bands."""

    _sheet: Sheet | None = None
    _columns: Columns = 2

    def tell(self, sheet: Sheet, columns: Columns) -> None:
        """Take over what is drawn, so that it can be drawn again at another width."""
        self._sheet, self._columns, self.caption = sheet, columns, sheet.caption

    def save(self, path: str | PathLike[str], *, columns: Columns | None = None) -> Path:
        """Write it for a paper: vector graphics where the format has them, letters as letters, the caption inside.

        Args:
            path: its ending is the format: .pdf, .svg, .png, .eps, ...; folders above it are made.
            columns: 1 or 2: drawn anew, 85 or 178 mm wide with 8 pt type; None writes it as it is, with whatever was
                changed in its axes.

        Returns:
            The path.

        Raises:
            InputError: another number of columns, or an ending that is no format.
            RunWriteError: the file cannot be written.

        Example:
            ``m.figure("spectrum").save("spectrum.pdf", columns=1)``
        """
        from phiscope.figures.paper.draw import STYLE, check_columns, drawn

        whole = self
        if columns is not None:
            check_columns(columns)
        if columns is not None and self._sheet is not None and columns != self._columns:
            whole = drawn(self._sheet, columns=columns)
        target = path_of(path, name="the figure")
        known = whole.canvas.get_supported_filetypes()
        kind = target.suffix.removeprefix(".").lower()
        if kind not in known:
            raise InputError(f"{target.name!r} ends in no format that matplotlib writes; known are {', '.join(known)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with rc_context({**STYLE, "savefig.bbox": None}):
                whole.savefig(target, dpi=300, metadata=_inside(kind, whole.caption))
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunWriteError(f"{target} cannot be written: {reason}", path=str(target), reason=reason) from error
        return target

    def show(self, warn: bool = True) -> None:
        """Show it now, from the middle of a notebook's cell.

        Args:
            warn: as in matplotlib; nothing is warned of.

        Raises:
            InputError: this is no notebook.
        """
        notebook: Any = sys.modules.get("IPython")
        if notebook is None or notebook.get_ipython() is None:
            raise InputError(
                "a figure opens no window, because it belongs to no global state of pyplot; write it with "
                'figure.savefig("figure.pdf"), or call it in a notebook'
            )
        notebook.display.display(self)


def _inside(kind: str, caption: str) -> dict[str, str] | None:
    """The caption, where a format keeps it, and no date: the same figure is the same file."""
    if kind == "pdf":
        return {"Subject": caption, "Creator": "phiscope", "CreationDate": None}  # type: ignore[dict-item]
    if kind == "svg":
        return {"Description": caption, "Date": None}  # type: ignore[dict-item]
    return {"Description": caption} if kind == "png" else None
