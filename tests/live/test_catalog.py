"""Which runs a folder has, and which have changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from phiscope.live import catalog as module
from phiscope.live.catalog import Catalog, Entry, has_link
from phiscope.runs import RunWriter
from small_runs import measured


def rows(catalog: Catalog) -> dict[str, Entry]:
    catalog.refresh()
    return {entry.name: entry for entry in catalog.entries()}


def test_every_run_below_the_folder_and_nothing_else(root: Path) -> None:
    found = rows(Catalog(root))
    assert set(found) == {"alpha", "beta", "sweep/lr 0.1", "evil & <b>", "broken"}
    assert found["sweep/lr 0.1"].row.status == "unfinished"
    assert found["beta"].row.status == "interrupted"
    assert "cannot be read" in found["broken"].row.problem


def test_one_run_is_a_folder_of_one(root: Path) -> None:
    catalog = Catalog(root / "alpha")
    assert list(rows(catalog)) == ["."]
    assert catalog.folder(".") == (root / "alpha").resolve()


def test_the_newest_comes_first(root: Path) -> None:
    os.utime(root / "beta" / "scalars.jsonl", (2e9, 2e9))
    assert next(iter(rows(Catalog(root)))) == "beta"


def test_only_what_changed_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog(root)
    catalog.refresh()
    version = catalog.refresh()
    read = []
    monkeypatch.setattr(
        module, "glance", lambda folder, before: read.append(folder.name) or module_glance(folder, before)
    )
    assert catalog.refresh() == version
    assert catalog.since(version) == ([], [])
    writer = RunWriter.create(root / "new", {"name": "new"})
    writer.append(0, 0, {}, {"train": measured()})
    assert catalog.refresh() == version + 1
    assert read == ["new"]
    assert [entry.name for entry in catalog.since(version)[0]] == ["new"]


module_glance = module.glance


def test_a_run_that_appears_grows_ends_breaks_and_is_deleted(root: Path) -> None:
    catalog = Catalog(root)
    catalog.refresh()
    version = catalog.refresh()
    writer = RunWriter.create(root / "new", {"name": "new", "title": "New one"})
    seen = []
    for step in ("nothing", "one", "end", "broken", "gone"):
        if step == "one":
            writer.append(0, 0, {"test_accuracy": 0.5}, {"train": measured()})
        elif step == "end":
            writer.finish("failed")
        elif step == "broken":
            (root / "new" / "header.json").write_text("[]")
        elif step == "gone":
            shutil.rmtree(root / "new")
        later = catalog.refresh()
        assert later > version
        changed, gone = catalog.since(version)
        seen.append(([(entry.row.records, entry.row.status) for entry in changed], gone))
        version = later
    assert seen == [
        ([(0, "unfinished")], []),
        ([(1, "unfinished")], []),
        ([(1, "failed")], []),
        ([(0, "unreadable")], []),
        ([], ["new"]),
    ]
    shutil.copytree(root / "alpha", root / "new")
    assert catalog.refresh() > version
    assert catalog.since(version)[1] == []


def test_a_run_is_listed_first_and_weighed_later(root: Path) -> None:
    catalog = Catalog(root)
    version = catalog.refresh()
    assert {entry.bytes for entry in catalog.entries()} == {None}
    assert catalog.refresh() == version + 1
    assert all(entry.bytes for entry in catalog.entries())
    assert len(catalog.since(version)[0]) == 5


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.copytree(root / "alpha", outside)
    (root / "linked").symlink_to(outside)
    (root / "up").symlink_to(tmp_path)
    shutil.copytree(root / "alpha", root / "half")
    (root / "half" / "scalars.jsonl").unlink()
    (root / "half" / "scalars.jsonl").symlink_to(outside / "scalars.jsonl")
    catalog = Catalog(root)
    found = rows(catalog)
    assert catalog.links == 2
    assert {"linked", "up"} & {name.partition("/")[0] for name in found} == set()
    assert "is a link" in found["half"].row.problem
    assert has_link(root / "half")
    assert not has_link(root / "alpha")
    shutil.copytree(root / "alpha", root / "deep")
    (root / "deep" / "records" / "x.safetensors").symlink_to("/etc/hostname")
    assert has_link(root / "deep")


def test_a_folder_that_is_deleted_is_empty(root: Path) -> None:
    catalog = Catalog(root)
    catalog.refresh()
    shutil.rmtree(root)
    assert rows(catalog) == {}


def test_names_of_another_encoding(root: Path) -> None:
    strange = os.fsencode(root) + b"/\xff\xfe"
    shutil.copytree(os.fsencode(root / "alpha"), strange)
    found = rows(Catalog(root))
    assert found["\\xff\\xfe"].row.records == 4
    assert found["\\xff\\xfe"].name.encode()


def test_hidden_and_too_deep_folders_are_passed_over(root: Path) -> None:
    for place in (".trash", "a/b/c/d/e"):
        shutil.copytree(root / "alpha", root / place)
    shutil.copytree(root / "alpha", root / "a" / "b" / "c" / "x")
    assert {name for name in rows(Catalog(root)) if name.startswith((".", "a/"))} == {"a/b/c/x"}
