"""What a notebook shows of a result: the sentence and the picture first, the table folded below."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from phiscope.errors import MissingDependencyError, PhiscopeError

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing
    from phiscope.runs import Run

PICTURES = "<p><small>pip install 'phiscope[figures]' shows the picture here</small></p>"
"""Stands where matplotlib is not installed."""


def shown(
    sentence: str, draw: Sequence[Callable[[], Drawing]], folded: str, table: str, notes: Sequence[str] = ()
) -> str:
    """HTML of a result.

    Args:
        sentence: what it says, first; escaped here.
        draw: makes its pictures.
        folded: the words of the fold.
        table: below the fold, HTML already.
        notes: sentences that have to be seen, such as warnings; escaped here.
    """
    said = f"<p><b>{html.escape(sentence)}</b></p>" if sentence else ""
    pictures = "".join(_picture(one) for one in draw)
    warned = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"{said}{pictures}{warned}<details><summary>{html.escape(folded)}</summary>{table}</details>"


def _picture(draw: Callable[[], Drawing]) -> str:
    try:
        drawing = draw()
    except MissingDependencyError:
        return PICTURES
    except PhiscopeError as error:
        # A picture that cannot be drawn of this result (nothing stored for it) leaves its place to the reason.
        return f"<p><small>{html.escape(str(error))}</small></p>"
    content, size = drawing._repr_png_()
    inside = base64.b64encode(content).decode("ascii")
    words = html.escape(drawing.caption, quote=True)
    return f'<img src="data:image/png;base64,{inside}" width="{size["width"]}" style="max-width:100%" alt="{words}">'


def run_html(run: Run) -> str:
    """A run: how it ended, what its last record reads, spectrum and path, and all numbers folded."""
    title = str(run.header.get("title") or run.name)
    count = f"{len(run.records)} record{'s' if len(run.records) != 1 else ''}"
    measured = [record for record in run.records if record.splits]
    if not measured:
        return shown(f"{title}: {run.status}, {count}, nothing measured yet", [], "no numbers", "", run.warnings)
    last = measured[-1]
    m = last.measurement()
    word = "" if m.evidence is None else f" {m.evidence.sentence()}"
    sentence = f"{title}: {run.status}, {count}, up to {last.unit} {last.at:g}.{word}"
    table = m.html_numbers()
    folded = f"{len(m.numbers)} numbers of split {last.splits[0]!r}"
    pictures = [lambda: run.figure("spectrum"), lambda: run.figure("why")]
    return shown(sentence, pictures, folded, table, (*run.warnings, *m.warnings))
