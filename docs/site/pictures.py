"""The pictures of examples, found without pyplot: phiscope's figures belong to no global state."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

import phiscope
from phiscope.figures.paper.drawing import Drawing

DPI = 150


def drawn_by_an_example(block: tuple[Any, ...], variables: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Save every figure that an example made, or the picture of the run that it wrote.

    Args:
        block: part of an example, as sphinx-gallery gives it.
        variables: what is known about the example: its names (``example_globals``) and where its pictures go.
        gallery: sphinx-gallery's settings.

    Returns:
        The pictures as reStructuredText; empty where the part drew nothing.
    """
    names = variables["example_globals"]
    shown = variables.setdefault("phiscope_shown", set())
    figures = {id(one): one for one in names.values() if isinstance(one, Drawing) and id(one) not in shown}
    if not figures and "main" in names and not shown:
        figures = {id(one): one for one in _of_its_run(names)}
    paths = []
    for number, figure in figures.items():
        shown.add(number)
        path = next(variables["image_path_iterator"])
        figure.savefig(path, dpi=DPI)
        paths.append(path)
    if not paths and "main" in names and not shown:
        shown.add(0)
        for picture in _written(names):
            paths.append(next(variables["image_path_iterator"]))
            shutil.copyfile(picture, paths[-1])
    return figure_rst(paths, gallery["src_dir"]) if paths else ""


def _of_its_run(names: dict[str, Any]) -> list[Any]:
    """The last measurement of the run in the folder that an example writes to by default."""
    found = [path.parent for folder in _folders(names) for path in folder.glob("header.json")]
    return [phiscope.open_run(path).records[-1].measurement().figure() for path in found[:1]]


def _written(names: dict[str, Any]) -> list[Path]:
    """Pictures that an example wrote itself."""
    return [path for folder in _folders(names) for path in sorted(folder.glob("*.png"))]


def _folders(names: dict[str, Any]) -> list[Path]:
    return [Path(place) for folder in names["main"].__defaults__ or () for place in (folder, f"{folder}/run")]
