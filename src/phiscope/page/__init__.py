"""One offline page for one run or several.

::

    build.py        `report`: reads the runs, fills the template in `assets/`, writes one file
    payload.py      everything the page's script needs, as JSON-ready data
    updates.py      what a page that is open needs when its runs have grown
    frames.py       what the slider shows of every record
    charts.py       panels and maps as plotly specifications
    class_search.py  thousands of classes: which the map shows, and how the others are found
    tracks.py       eigenfunctions followed through the records
    planes.py       eigenfunctions on single samples, quantised
    room.py         how much of a long run goes into the page
    turned.py       what changes when eigenfunctions are rotated toward the classes
    tried.py        pictures that were kept with a run after something was tried on its network
    gallery.py      the gallery samples as one picture or a few words each
    number_rows.py  the tables of numbers under the pictures
    contents.py     the folded sections after the first screen
    verdicts.py     what happened in a run, in one sentence
    words.py        what the page says in sentences
"""

from __future__ import annotations

from phiscope.page.build import report

__all__ = ["report"]
