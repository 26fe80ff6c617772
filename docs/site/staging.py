"""Lays the sources of the site out in one folder, in which every page has the place it has in the repository."""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

READERS: Mapping[str, tuple[str, ...]] = {
    "practitioner": (
        "reading", "regimes", "networks", "observing", "frameworks", "viewing", "trackers", "alerts", "replay",
        "layers", "language_models", "damage", "surgery",
    ),
    "researcher": ("arrays", "large_data", "wide", "distributed", "data", "papers"),
    "theorist": ("theory",),
    "contributor": (),
}  # fmt: skip
"""Pages of the guide by reader, in the order of reading; a page that nobody named goes to the researcher."""

HOUSE = ("CONTRIBUTING", "ARCHITECTURE", "CODE_OF_CONDUCT", "CHANGELOG")
"""Pages at the top of the repository, which belong to the contributor."""

LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


class Stage:
    """A folder of sources that changes only where the repository did, so that Sphinx builds again what is new.

    Args:
        folder: where; made when it is not there.

    Attributes:
        folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._put: set[Path] = set()

    def put(self, name: str, text: str) -> None:
        """Write a page unless it stands there already."""
        path = self.folder / name
        self._put.add(path)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def copy(self, source: Path, name: str) -> None:
        """Copy a file unless it is there already."""
        path = self.folder / name
        self._put.add(path)
        if not path.exists() or path.read_bytes() != source.read_bytes():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)

    def keep(self, name: str) -> Path:
        """Where a file goes that somebody else writes."""
        self._put.add(self.folder / name)
        return self.folder / name

    def remove_the_rest(self, folders: Iterable[str]) -> None:
        """Remove what an earlier build put there and this one did not."""
        for folder in folders:
            for path in [one for one in (self.folder / folder).rglob("*") if one.is_file()]:
                if path not in self._put:
                    path.unlink()
            # A run that an example wrote is gone only when its folders are: it is not written into a second time.
            for path in sorted((self.folder / folder).rglob("*"), reverse=True):
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()


def stage_pages(stage: Stage) -> None:
    """The Markdown of the repository, with the tables of contents that Sphinx wants."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        for link, target in linked_files(path, text):
            stage.copy(target, target.relative_to(ROOT).as_posix())
            del link
        stage.put("index.md" if name == "README.md" else name, _for_the_site(path, text) + _contents(name))
    stage.put("evidence/index.md", "# Evidence\n\n" + _EVIDENCE + _toctree(_names("docs/evidence"), shown=True))
    stage.remove_the_rest(["docs", "evidence"])


def pages() -> list[Path]:
    """Every page of the repository that is on the site."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def linked_files(page: Path, text: str) -> Iterator[tuple[str, Path]]:
    """Links of a page to files of the repository that are no pages: pictures, data, scripts."""
    for link, _ in LINK.findall(text):
        target = Path(os.path.normpath(page.parent / link))
        if ":" not in link and target.is_file() and target.suffix != ".md":
            yield link, target


def _for_the_site(page: Path, text: str) -> str:
    """Links to what has another place on the site: the README is its first page, the examples are its gallery."""

    def moved(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(page.parent / found[1]))
        if target == ROOT / "README.md":
            return f"]({_up(page)}index.md{found[2] or ''})"
        if target in (ROOT / "examples", ROOT / "examples" / "gallery"):
            return f"]({_up(page)}gallery/index.rst)"
        return found[0]

    return LINK.sub(moved, text)


def _up(page: Path) -> str:
    return "../" * (len(page.relative_to(ROOT).parts) - 1)


def _contents(name: str) -> str:
    if name == "README.md":
        readers = [f"/docs/readers/{reader}" for reader in READERS]
        rest = [
            "/docs/index",
            "/numbers/index",
            "/gallery/index",
            "/gallery/whole/index",
            "/api/index",
            "/evidence/index",
        ]
        return _toctree(readers, caption="Start here") + _toctree(rest, caption="Look it up")
    reader = Path(name).stem
    if name.startswith("docs/readers/"):
        return _toctree(_pages_of(reader))
    return ""


def _pages_of(reader: str) -> list[str]:
    """The pages of one reader, and those that nobody named with the researcher's."""
    named = {page for of_reader in READERS.values() for page in of_reader}
    there = _names("docs/guide")
    found = [f"/docs/guide/{page}" for page in READERS[reader] if f"/docs/guide/{page}" in there]
    if reader == "researcher":
        found += [page for page in there if page.rpartition("/")[2] not in named]
    if reader == "contributor":
        found += [f"/{page}" for page in HOUSE if (ROOT / f"{page}.md").exists()]
        found += [page for page in _names("docs") if page != "/docs/index"] + _names("docs/reference")
    return found


def _names(folder: str) -> list[str]:
    return [f"/{folder}/{path.stem}" for path in sorted((ROOT / folder).glob("*.md"))]


def _toctree(pages: Iterable[str], *, caption: str = "", shown: bool = False) -> str:
    options = ([f":caption: {caption}"] if caption else []) + ([":maxdepth: 1"] if shown else [":hidden:"])
    return "\n".join(["", "", "```{toctree}", *options, "", *pages, "```", ""])


_EVIDENCE = """What was measured about phiscope itself, each page made by a command of the repository and kept with its
data."""


def stage_examples(stage: Stage) -> None:
    """The gallery's scripts as they are, and the longer examples with their first line as a title."""
    for path in sorted((ROOT / "examples" / "gallery").iterdir()):
        if path.is_file():
            stage.copy(path, f"examples/gallery/{path.name}")
    for path in sorted((ROOT / "examples").glob("*.py")):
        stage.put(f"examples/whole/{path.name}", titled(path.read_text(encoding="utf-8")))
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")):
        stage.copy(path, f"examples/notebooks/{path.name}")
    stage.put("examples/whole/GALLERY_HEADER.rst", _WHOLE)
    stage.remove_the_rest(["examples"])


def titled(script: str) -> str:
    """A script whose docstring begins with a heading, as sphinx-gallery wants it: its first words are the title."""
    docstring = ast.get_docstring(ast.parse(script), clean=False) or ""
    first, _, rest = docstring.partition("\n")
    words, colon, more = first.partition(":")
    title = words if colon else first.rstrip(".")
    text = f"{more.strip()[:1].upper()}{more.strip()[1:]}" if colon else ""
    # A line that is typed in a terminal is typed as it stands.
    rest = re.sub(r"^(python .*?)(?:  +(.*))?$", r":code:`\1` \2", rest, flags=re.MULTILINE)
    return script.replace(docstring, f"\n{title}\n{'=' * len(title)}\n\n{text}\n{rest}", 1)


_WHOLE = """Where people train
==================

Whole scripts to start from: a loop of one's own, Lightning, the Trainer, accelerate, Keras, files of another program,
saved checkpoints. Each trains, observes, and writes a page; below it is drawn where its training ended.

And two notebooks on handwritten digits, a minute each: :download:`a first look
</examples/notebooks/first_look.ipynb>` and :download:`a training, watched
</examples/notebooks/watch_a_training.ipynb>`.
"""
