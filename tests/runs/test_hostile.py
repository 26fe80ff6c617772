"""Hostile run folders end in a page, in a left-out line with a warning, or in one sentence; none writes outside."""

import json
import os
import resource
import shutil
import time
from pathlib import Path

import pytest

import phiscope
from hostile_runs import cases, good_run, slow_cases
from phiscope.errors import PhiscopeError
from phiscope.runs import RunWriter, open_run

EVERY = 24
"""So many cases apart are those that run each time; all of them run with the slow tests."""


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_run(tmp_path_factory.mktemp("hostile") / "good")


def test_the_control_is_a_good_run_with_a_page(good, tmp_path):
    run = open_run(good)
    assert run.warnings == ()
    assert len(run.records) == 3
    assert page_of(run, tmp_path).stat().st_size > 10**6


def test_there_are_enough_cases_and_no_name_stands_twice(good):
    names = [name for name, _ in cases(good)]
    assert len(set(names)) == len(names) >= 237


def test_some_hostile_folders(good, tmp_path):
    assert failures(good, tmp_path, list(cases(good))[::EVERY]) == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_hostile_folders(good, tmp_path):
    assert failures(good, tmp_path, list(cases(good))) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_folders_that_are_large(good, tmp_path, number):
    assert failures(good, tmp_path, [list(slow_cases())[number]], seconds=60.0) == []


def failures(good, tmp_path, chosen, seconds=30.0):
    found = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (name, change) in enumerate(chosen):
        folder = tmp_path / f"case-{number}"
        shutil.copytree(good, folder)
        change(folder)
        outside = {path: path.read_bytes() for path in tmp_path.glob("case-*-victim") if path.is_file()}
        started = time.monotonic()
        found += [
            f"{name}: {words}" for words in (trouble(read, folder, tmp_path), trouble(go_on, folder, tmp_path)) if words
        ]
        found += [f"{name}: {path} was changed" for path, text in outside.items() if path.read_bytes() != text]
        if time.monotonic() - started > seconds:
            found.append(f"{name}: {time.monotonic() - started:.0f} s")
        remove(folder)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return found + ([f"{grown} KiB of memory"] if grown > 4 * 2**20 else [])


def trouble(task, folder, tmp_path):
    try:
        task(folder, tmp_path)
    except PhiscopeError as error:
        return "more than one line" if "\n" in str(error) else ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return ""


def read(folder, tmp_path):
    run = open_run(folder)
    run.table()
    page_of(run, tmp_path)


def page_of(run, tmp_path):
    page = phiscope.report([run], tmp_path / "page.html")
    text = page.read_text()
    data = text[text.index('id="data">') + 10 :]
    json.loads(data[: data.index("</script>")], parse_constant=refuse)
    return page


def refuse(literal):
    raise AssertionError(f"the page's data hold {literal}, which no browser reads")


def go_on(folder, tmp_path):
    writer = RunWriter.create(folder, {}, resume=True)
    try:
        writer.append(9, None, {"x": 1.0}, {})
        writer.note(9, None, {"y": 2.0})
        writer.finish()
    finally:
        writer.close()
    assert open_run(folder).records[-1].scalars == {"x": 1.0, "y": 2.0}


def remove(folder: Path) -> None:
    for victim in folder.parent.glob(f"{folder.name}*"):
        shutil.rmtree(victim) if victim.is_dir() and not victim.is_symlink() else os.unlink(victim)
