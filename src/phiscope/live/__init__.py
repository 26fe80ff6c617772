"""Runs watched in a browser while they grow: a server for this machine only.

::

    serving.py    `view`: the server in a thread, its address, and the page in a notebook
    server.py     who may ask what, and what is answered
    catalog.py    which runs a folder has, and which have changed
    rows.py       a run as a line of the list
    sparkline.py  the course of two numbers in a small picture
    feeds.py      pages of runs, and what is new for a page that is open
    pages.py      templates in `assets/`, filled
"""

from __future__ import annotations

from phiscope.live.serving import View, view

__all__ = ["View", "view"]
