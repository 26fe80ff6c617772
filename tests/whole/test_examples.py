import ast
import re
import runpy
import sys
import tempfile
from pathlib import Path

import pytest

import phiscope

EXAMPLES = Path(__file__).parents[2] / "examples"
GALLERY = sorted((EXAMPLES / "gallery").glob("*.py"))
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))


def run_script(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_examples_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


def test_plain_loop(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "circles"
    run_script("plain_loop.py", folder, monkeypatch=monkeypatch)
    run = phiscope.open_run(folder)
    assert [record.epoch for record in run.records] == list(range(11))
    assert run.records[-1].scalars["test_accuracy"] > 0.9
    assert run.status == "completed"
    assert (folder / "report.html").stat().st_size > 10_000
    assert "epoch 10" in capsys.readouterr().out


@pytest.mark.slow
def test_quickstart_prints_what_the_readme_shows(monkeypatch, capsys):
    run_script("quickstart.py", monkeypatch=monkeypatch)
    printed = [masked(line) for line in capsys.readouterr().out.splitlines()]
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^    (\S.*|  \S.*)$", text[text.index("    Measurement: ") :].split("\n\n")[0], re.MULTILINE)
    assert len(shown) == 5
    for line in shown:
        assert any(one.startswith(masked(line.removesuffix("..."))) for one in printed), line


def masked(line):
    """Digits differ between processors, and the README's columns are closer together."""
    return re.sub(r"[\d.]+", "0", re.sub(r" +", " ", line)).strip().rstrip("0")


def test_arrays(monkeypatch, capsys):
    run_script("arrays.py", monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    collapsed, spread = (float(value) for value in re.findall(r"D_LR ([\d.]+)", printed))
    assert collapsed < 0.01 < 0.1 < spread
    # eigenfunctions are normalized on the samples they come from
    assert printed.count("mean square 1.000") == 2


def needs(*libraries):
    for library in libraries:
        pytest.importorskip(library)


def observed(folder, script, monkeypatch):
    run_script(script, folder, monkeypatch=monkeypatch)
    run = phiscope.open_run(folder)
    assert run.status == "completed"
    assert (folder / "report.html").stat().st_size > 10_000
    return run


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path, monkeypatch):
    needs("lightning")
    run = observed(tmp_path / "mine", "lightning_callback.py", monkeypatch)
    assert len(run.records) == 6
    assert run.records[-1].scalars["validation_accuracy"] > 0.85


@pytest.mark.filterwarnings("ignore")
def test_transformers(tmp_path, monkeypatch):
    needs("transformers", "accelerate")
    run = observed(tmp_path / "mine", "transformers_callback.py", monkeypatch)
    assert len(run.records) == 5
    assert run.class_names == ("prose", "code")
    assert run.records[-1].scalars["eval_loss"] < 0.5


@pytest.mark.filterwarnings("ignore")
def test_accelerate(tmp_path, monkeypatch):
    needs("accelerate")
    run = observed(tmp_path / "mine", "accelerate_loop.py", monkeypatch)
    assert run.records[-1].scalars["test_accuracy"] > 0.9


@pytest.mark.filterwarnings("ignore")
def test_keras(tmp_path, monkeypatch):
    needs("keras")
    run = observed(tmp_path / "mine", "keras_callback.py", monkeypatch)
    assert [record.epoch for record in run.records if record.splits] == [0, 1, 2, 3, 5, 10, 20]
    assert run.header["task"] == "regression"


@pytest.mark.filterwarnings("ignore:alert")
def test_the_gate_stops_an_encoder_that_collapses(tmp_path, monkeypatch):
    run = observed(tmp_path / "mine", "self_supervised_gate.py", monkeypatch)
    assert len(run.records) < 20
    assert run.alerts[0]["alert"]["number"] == "effective_dimension_centered"
    # Its loss would have told nobody.
    losses = [record.scalars["train_loss"] for record in run.records[1:]]
    assert losses == sorted(losses, reverse=True)


def test_replay(tmp_path, monkeypatch):
    run_script("replay_checkpoints.py", tmp_path, monkeypatch=monkeypatch)
    run = phiscope.open_run(tmp_path / "run")
    assert [record.epoch for record in run.records] == [0, 1, 2, 3, 4, 5]
    assert run.records[-1].numbers("train")["initial_kernel_similarity"] < 0.9


def test_features_from_files(tmp_path, monkeypatch):
    run_script("features_from_files.py", tmp_path, monkeypatch=monkeypatch)
    run = phiscope.open_run(tmp_path / "run")
    assert [record.regime() for record in run.records] == ["extended", "intermediate", "minimal"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_vision_transformer(tmp_path, monkeypatch, capsys):
    needs("transformers")
    run_script("vision_transformer_layers.py", tmp_path, monkeypatch=monkeypatch)
    found = [tuple(map(float, pair)) for pair in re.findall(r"R2 ([\d.]+) -> ([\d.]+)", capsys.readouterr().out)]
    assert len(found) == 4
    assert all(after > before for before, after in found)
    assert (tmp_path / "layers.png").stat().st_size > 5_000


@pytest.mark.slow
def test_language_model(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    folder = tmp_path / "words"
    run_script("language_model.py", folder, monkeypatch=monkeypatch)
    printed = capsys.readouterr().out
    shares = [[float(share) for share in re.findall(r"step \d+: ([\d.]+)", line)] for line in printed.splitlines()]
    shares = [row for row in shares if row]
    assert [len(row) for row in shares] == [4, 4, 4, 4]
    # What a reader finds grows with training, and at its end with depth.
    assert all(row[0] < row[-1] for row in shares)
    assert shares[0][-1] < shares[-1][-1]
    run = phiscope.open_run(folder)
    assert [record.epoch for record in run.records] == [0, 50, 100, 200]
    assert run.records[-1].scalars["train_loss"] < run.records[0].scalars["train_loss"]
    assert "labels shifted by one" in run.records[-1].measurement().provenance["targets"]
    assert len(run.gallery("probe").words) == 256
    assert (folder / "report.html").stat().st_size < 3_000_000


def test_the_gallery_is_large_enough():
    assert len(GALLERY) >= 12
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_gallery_scripts_are_a_question_and_a_picture_in_few_lines(path):
    text = path.read_text(encoding="utf-8")
    title, line = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert title.endswith("?")
    assert line == "=" * len(title)
    assert len(text.splitlines()) < 40
    assert re.search(r"^figure = ", text, re.M)


def drawn(path, monkeypatch, tmp_path):
    """Run a script of the gallery where it may write, and give its figure back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return runpy.run_path(str(path), run_name="__main__")["figure"]


def test_a_gallery_script_runs(monkeypatch, tmp_path, capsys):
    """The cheapest one, always; the others where there is time."""
    figure = drawn(EXAMPLES / "gallery" / "g11_enough_samples.py", monkeypatch, tmp_path)
    assert len(figure.axes) >= 3
    truth = float(re.search(r"truth: participation ratio ([\d.]+)", printed := capsys.readouterr().out)[1])
    intervals = re.findall(r"interval ([\d.]+) to ([\d.]+)", printed)
    assert len(intervals) == 4
    assert all(float(low) < truth < float(high) for low, high in intervals)


@pytest.mark.slow
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_gallery_script_ends_in_a_picture(path, monkeypatch, tmp_path):
    figure = drawn(path, monkeypatch, tmp_path)
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 5_000


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_in_a_minute_and_show_pictures(path, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    # No outputs are kept: what a reader sees is what his own installation says.
    assert all(not cell["outputs"] for cell in notebook.cells if cell.cell_type == "code")
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in shown) >= 2
    if path.stem == "watch_a_training":
        assert "True" in [data.get("text/plain") for data in shown]
