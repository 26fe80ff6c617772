"""What the doctor says of an installation, and what it calls wrong."""

import dataclasses
import json
import subprocess
import sys

import pytest

from phiscope.cli import doctor
from phiscope.cli.closed_forms import Check
from phiscope.cli.doctor import Library, examine, report_text
from phiscope.cli.main import run_command


@pytest.fixture(scope="module")
def report():
    """An examination in which no interpreter is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "_import_fault", lambda module: "")
        return examine()


def test_versions_devices_threads_and_libraries_are_named(report):
    assert report.versions["phiscope"] == doctor.__version__
    assert "cpu" in report.devices
    assert "threads" in report.threads["torch"]
    assert {"torch", "numpy", "scipy"} <= {one.name for one in report.libraries}
    assert "report" in report.extras
    assert doctor.NOT_FOR_USERS.isdisjoint(report.extras)
    text = report_text(report)
    assert "10 closed forms" in text
    assert all(check.name in text for check in report.checks)


def test_the_command_prints_text_or_json_and_ends_with_0_or_1(report, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: report)
    assert run_command(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("nothing is wrong\n")
    wrong = dataclasses.replace(report, checks=(Check(name="two", expected=2.0, got=3.0),))
    monkeypatch.setattr(doctor, "examine", lambda: wrong)
    assert run_command(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("wrong:\n  two: 3.0 in place of 2.0\n")
    assert run_command(["doctor", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out)
    assert facts["faults"] == ["two: 3.0 in place of 2.0"]
    assert facts["checks"] == [{"name": "two", "expected": 2.0, "got": 3.0, "error": "", "right": False}]


def test_an_extra_that_is_missing_is_no_fault_and_one_that_is_broken_is(report):
    missing = Library(name="zarr", wanted=">=2.17", version="")
    broken = Library(name="wandb", wanted=">=0.19", version="0.31", fault="cannot be imported: OSError: no libc")
    changed = dataclasses.replace(report, extras={"zarr": (missing,), "wandb": (broken,)})
    assert changed.faults == ("wandb 0.31: cannot be imported: OSError: no libc",)
    text = report_text(changed)
    assert "not installed: zarr" in text
    assert "wandb 0.31: cannot be imported" in text


def test_what_phiscope_cannot_do_without_has_to_be_there(report):
    gone = dataclasses.replace(report, libraries=(Library(name="scipy", wanted=">=1.11", version=""),))
    assert gone.faults == ("scipy: not installed",)


@pytest.mark.parametrize(
    ("version", "wanted", "older"),
    [
        ("1.25.2", ">=1.26", True),
        ("1.26.0", ">=1.26", False),
        ("2.0.0rc1", ">=1.26", False),
        ("0.10", ">=0.9", False),
        ("1.0", "", False),
    ],
)
def test_versions_are_compared_as_numbers(version, wanted, older):
    assert doctor._is_older(version, wanted) == older


def test_a_library_that_is_too_old_is_not_even_imported(monkeypatch):
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "1.0")
    assert doctor._library("scipy", ">=1.11", ["scipy"]).fault == "too old, >=1.11 is wanted"


def test_a_module_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    (tmp_path / "spoiled.py").write_text("raise RuntimeError('no such symbol')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor._import_fault("spoiled") == "cannot be imported: RuntimeError: no such symbol"
    assert doctor._import_fault("json") == ""


def test_an_import_that_hangs_ends(tmp_path, monkeypatch):
    (tmp_path / "hanging.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "PATIENCE", 0.3)
    assert "did not end" in doctor._import_fault("hanging")


@pytest.mark.parametrize(
    ("name", "modules", "module"),
    [
        ("scikit-learn", ["sklearn"], "sklearn"),
        ("pillow", ["PIL"], "PIL"),
        ("pyarrow", ["benchmarks", "pyarrow"], "pyarrow"),
        ("mlflow-skinny", ["_native", "mlflow"], "mlflow"),
        ("nothing", [], ""),
    ],
)
def test_the_module_of_a_distribution(name, modules, module):
    assert doctor._module_of(name, modules) == module


def test_requirements_are_read_with_and_without_extras(monkeypatch):
    lines = ["torch>=2.6", 'dask[array,distributed]>=2024.8; extra == "dask"', "ruff>=0.9; extra == 'dev'"]
    lines += ['phiscope[report]; extra == "all"']
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: lines)
    assert doctor._requirements() == ({"torch": ">=2.6"}, {"dask": {"dask": ">=2024.8"}})


def test_help_does_not_load_what_the_doctor_needs():
    code = "import sys; from phiscope.cli.main import run_command; run_command(['doctor', '--help'])\n"
    code += "print(sorted({'torch', 'numpy', 'phiscope.cli.doctor'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n")
