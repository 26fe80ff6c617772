"""The benchmark runs, tells the truth about failures, and fills its page."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phiscope.linalg import eigen
from phiscope.spectrum import eigensystem

FOLDER = Path(__file__).parents[2] / "benchmarks"
EVIDENCE = FOLDER.parent / "docs" / "evidence"
SOLVERS = ["floor-eigh", "floor-eigh-evr", "floor-eigh-numpy", "floor-eigh-torch"]


@pytest.fixture
def parts(monkeypatch):
    """The benchmark's own modules."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import speed_parts.cases
    import speed_parts.contestants
    import speed_parts.page
    import speed_parts.race
    import speed_parts.tables

    return speed_parts


def run(*words, folder):
    command = [sys.executable, str(FOLDER / "speed.py"), *words, "--out", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)


def rows_of(folder, names, floors):
    """The rows of a run of these contestants and their floors, complete; every contestant is a process."""
    done = run("--shapes", "3000x24x3", "--contestants", *names, "--repeats", "2", "--no-growth", folder=folder)
    assert done.returncode == 0, done.stderr
    (case,) = json.loads((folder / "speed.json").read_text())["cases"]
    for name in (*names, *floors):
        row = case["rows"][name]
        assert "reason" not in row, row
        assert len(row["cpu"]) == 2
        assert min(row["cpu"]) > 0
    return case["rows"]


@pytest.mark.slow
def test_one_run_measures_floors_ours_and_a_peer(tmp_path):
    rows = rows_of(tmp_path, ["numbers", "one-number", "sklearn-covariance-f64"], ["floor-symmetric-blocks", *SOLVERS])
    assert rows["numbers"]["relative_error"] < 1e-10
    # Held against the quickest of the libraries' solvers, whichever that is here.
    median = {name: np.median(rows[name]["cpu"]) for name in rows}
    floor = median["floor-symmetric-blocks"] + min(median[name] for name in SOLVERS)
    page = (tmp_path / "speed.md").read_text().partition("## The same features for everybody")[2]
    (line,) = [line for line in page.splitlines() if line.startswith("| `numbers` |")]
    assert float(line.split("|")[2]) == pytest.approx(median["numbers"] / floor, abs=0.006)


@pytest.mark.slow
def test_one_run_fills_the_page_with_both_precisions(tmp_path):
    rows = rows_of(tmp_path, ["pass", "pass-fast"], ["floor-symmetric-blocks"])
    assert 1e-10 < rows["pass-fast"]["relative_error"] < 1e-2
    page = (tmp_path / "speed.md").read_text()
    assert "24" in page
    assert "no shards" in page


def test_a_shape_that_is_none_is_refused(tmp_path):
    done = run("--shapes", "3000", folder=tmp_path)
    assert done.returncode == 2
    assert "'3000' is no shape, expected A, B, C, D, P or NxPxC" in done.stderr


def test_features_are_those_of_the_reference(parts):
    shape = parts.cases.Shape(n=500, p=20, classes=4)
    case = parts.cases.make_case(shape)
    expected = np.linalg.eigvalsh(np.cov(case.features.T.astype(np.float64), bias=True))[::-1]
    found = parts.cases.reference_of(case)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert parts.cases.worst_error(expected, found)[0] < 1e-9
    assert parts.cases.worst_error(expected[:-5], found)[0] > 1e-3


def test_who_fails_says_so(parts, tmp_path):
    shape = parts.cases.Shape(n=400, p=16, classes=2)
    parts.cases.save_case(shape, tmp_path, reference=True)
    rules = parts.race.Rules(repeats=2, threads=1, timeout=30, budget=30, memory=2**30)
    (tmp_path / "targets.npy").unlink()
    with parts.race.Race(["pass"], rules, lambda words: None) as race:
        rows = race.take(tmp_path, ["pass"])
    assert "targets.npy" in rows["pass"]["reason"]


def test_the_page_is_what_its_data_say(parts):
    """`make bench ARGS="--render docs/evidence/speed.json"` makes it again."""
    page = (EVIDENCE / "speed.md").read_text(encoding="utf-8")
    made = parts.page.sections(json.loads((EVIDENCE / "speed.json").read_text(encoding="utf-8")))
    assert parts.page.filled(page, made) == page
    guide = page.partition("## How to read it")[2].partition("\n## ")[0]
    unexplained = [name for name in parts.tables.NUMBERS if f"*{name}*" not in guide]
    assert unexplained == []


def test_a_table_begins_with_name_and_ratio_and_says_wall_time_where_it_is_another(parts):
    found = {"name": "A", "shape": {"n": 10, "p": 2, "classes": 2}}
    rows = {
        "floor-symmetric-blocks": {"cpu": [1.0], "wall": [1.0]},
        "floor-eigh": {"cpu": [3.0], "wall": [3.0]},
        "floor-eigh-numpy": {"cpu": [2.0], "wall": [2.0]},
        "numbers": {"cpu": [6.0], "wall": [6.0]},
        "reptrix": {"cpu": [], "wall": [], "reason": "RuntimeError: no memory. Error code 12 ("},
    }
    table = parts.tables.case_table(found | {"rows": rows})
    assert "| row | ratio | to | CPU s | MiB |" in table
    assert "| `numbers` | 2.00 | S+E | 6 |" in table
    assert "| **E** `floor-eigh-numpy` |" in table
    assert "| `floor-eigh` |" in table
    assert "**not measured: RuntimeError: no memory** |" in table
    assert "to 2 %." in table
    rows["numbers"]["wall"] = [7.0]
    table = parts.tables.case_table(found | {"rows": rows})
    assert "| row | ratio | to | CPU s | wall s | MiB |" in table
    assert "to 2 %." not in table


@pytest.mark.parametrize(("commit", "told"), [("abc", "commit abc."), ("abc+", "commit abc, with changes not")])
def test_changes_are_told_where_there_were_some(commit, told, parts):
    found = json.loads((EVIDENCE / "speed.json").read_text(encoding="utf-8")) | {"commit": commit}
    assert told in parts.page.sections(found)["conditions"].splitlines()[0]


def test_a_page_without_a_mark_is_an_error(parts):
    with pytest.raises(ValueError, match="no marks <!-- made: tables -->"):
        parts.page.filled("nothing here", {"tables": "x"})


def printed(script, *words):
    command = [sys.executable, str(FOLDER / script), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=240)


@pytest.mark.slow
def test_the_cost_of_observing_is_told_as_shares(tmp_path):
    words = ["--width", "0.0625", "--batch", "16", "--probe", "40", "--repeats", "3"]
    done = printed("overhead.py", *words, "--json", str(tmp_path / "cost.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cost.json").read_text())
    assert len(found["step"]) == len(found["passive step"]) == 3
    assert min(found["record"]) > 0
    assert "of a step" in done.stdout
    assert "of an epoch" in done.stdout


def test_the_accelerator_benchmark_runs_on_a_cpu_and_asks_for_a_device():
    done = printed("accelerator.py", "--device", "cpu", "--p", "32", "--n", "3000", "--repeats", "1")
    assert done.returncode == 0, done.stderr
    assert "| 32 | 3,000 |" in done.stdout


@pytest.mark.parametrize(
    "part", ["symmetric", *(pytest.param(part, marks=pytest.mark.slow) for part in ("rows", "leading", "whole"))]
)
def test_eigensolvers_by_hand_and_by_library_agree(part, parts, monkeypatch, tmp_path):
    module = importlib.import_module(f"eigen_parts.{part}")
    # Some of them put a library's routine in the place of ours.
    for owner, name in ((eigen, "reflect"), (eigensystem, "Diagonalized"), (eigensystem, "FewRows")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    for spectrum in module.SPECTRA:
        module.write(tmp_path, 150, spectrum, k=4, classes=3)
        case = module.load(tmp_path)
        for job in module.JOBS:
            truth = module.judge(case, job, module.SOLVERS[module.TRUTH](case, job))["values"]
            for solve in module.SOLVERS.values():
                told = module.judge(case, job, solve(case, job))
                np.testing.assert_allclose(told["values"], truth, rtol=0, atol=1e-9 * truth.max())
                assert told.get("orthogonal", 0.0) < 1e4
                assert told.get("residual", 0.0) < 1e3


@pytest.mark.slow
def test_eigensolvers_take_turns_and_are_told_as_ratios(tmp_path):
    words = ["--parts", "symmetric", "--p", "40", "--threads", "1", "--repeats", "2", "--jobs", "vectors"]
    done = printed("eigensolvers.py", *words, "--solvers", "scipy eigh evd", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "found.json").read_text())["told"]
    assert list(told) == ["phiscope", "scipy eigh evd"]
    assert all(len(row["cpu"]) == 2 and row["error"] < 1e3 for row in told.values())
    assert "part symmetric, p 40, threads 1, spectrum decay, job vectors" in done.stdout
