"""The figure that results return: matplotlib's, and it shows itself in a notebook."""

from __future__ import annotations

import io
import sys
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from phiscope.errors import InputError

SHOWN_DPI = 96
"""Pixels an inch at which a notebook shows a figure: its size in inches as browsers count them."""

SHARPNESS = 2
"""Pixels drawn for each one shown, in both directions, so that letters stay sharp on dense screens."""


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
