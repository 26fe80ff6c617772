"""A folder of runs as people leave it, and a server for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import phiscope
from phiscope.live import View
from synthetic_runs import Recipe, write_run

EVIL = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
SMALL = {"p": 8, "n": 40, "side": 3}


def filled(root: Path) -> Path:
    """Runs of every kind; the one that still runs has one split only."""
    write_run(root / "alpha", Recipe(epochs=(0, 1, 2, 5), **SMALL))
    write_run(root / "beta", Recipe(epochs=(0, 1), collapse=0.2, status="interrupted", **SMALL))
    write_run(root / "sweep" / "lr 0.1", Recipe(epochs=(0, 1, 2), status=None, splits=("train",), **SMALL))
    names = [EVIL, "two", "three", "four"]
    evil = {"title": EVIL, "description": EVIL, "class_names": names, "settings": {EVIL: EVIL}, "name": EVIL}
    write_run(root / "evil & <b>", Recipe(epochs=(0, 1), header=evil, **SMALL))
    (root / "broken").mkdir()
    (root / "broken" / "header.json").write_text("{nonsense")
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no run")
    return root


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("kept") / "runs")


@pytest.fixture
def root(kept: Path, tmp_path: Path) -> Path:
    """A folder that a test may change."""
    shutil.copytree(kept, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def served(kept: Path) -> Iterator[View]:
    """A server of a folder that nobody changes."""
    with phiscope.view(kept) as view:
        yield view


@pytest.fixture
def shown(root: Path) -> Iterator[View]:
    with phiscope.view(root) as view:
        yield view
