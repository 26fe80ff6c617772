"""What a notebook shows: the sentence and the picture first, the table folded; in a real notebook, too."""

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import phiscope
from phiscope.figures.paper.notebook import PICTURES, shown
from small_runs import written_run


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    return net, (torch.randn(400, 6), torch.arange(400) % 3)


def results(net, data):
    m = phiscope.measure(net, data)
    features = net[:2](data[0]).detach()
    return {
        "measurement": m,
        "layers": phiscope.measure_layers(net, data),
        "comparison": phiscope.compare(features, features[:, :6]),
        "restriction": phiscope.restrict(m, data, net),
    }


@pytest.mark.parametrize("name", ["measurement", "layers", "comparison", "restriction"])
def test_picture_first_and_table_folded(parts, name):
    page = results(*parts)[name]._repr_html_()
    assert page.count("<img ") == 1
    assert page.index("<img ") < page.index("<details>") < page.index("<table")
    assert "<details open" not in page
    assert 'alt="' in page


def test_the_regime_stands_first(parts):
    m = phiscope.measure(*parts)
    assert re.sub("<[^>]*>", "", m._repr_html_()).startswith(m.evidence.sentence().replace("'", "&#x27;")[:30])


def test_a_run_shows_its_end_and_two_pictures(tmp_path):
    run = phiscope.open_run(written_run(tmp_path / "mine", "mine <b>"))
    page = run._repr_html_()
    assert page.count("<img ") == 2
    assert "mine &lt;b&gt;: completed, 2 records, up to epoch 1." in page
    empty = phiscope.open_run(written_run(tmp_path / "empty", "empty", epochs=0))
    assert "nothing measured yet" in empty._repr_html_()


def test_without_matplotlib_the_table_is_there(parts, monkeypatch):
    m = phiscope.measure(*parts)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = m._repr_html_()
    assert PICTURES in page
    assert "<table" in page


def test_everything_is_escaped():
    page = shown("<script>", [], "<i>", "<table></table>", ["<u>"])
    assert (
        page
        == "<p><b>&lt;script&gt;</b></p><p>&lt;u&gt;</p><details><summary>&lt;i&gt;</summary><table></table></details>"
    )


CELLS = [
    "import torch, phiscope\nfrom torch import nn\nnet = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))\n"
    "data = (torch.randn(200, 6), torch.arange(200) % 3)\nm = phiscope.measure(net, data)\nm",
    "phiscope.measure_layers(net, data)",
    "phiscope.restrict(m, data, net)",
    "m.figure('why')",
]


@pytest.mark.filterwarnings("ignore")
def test_a_notebook_is_executed(tmp_path, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    # The kernel is another process: it has to find this phiscope.
    monkeypatch.setenv("PYTHONPATH", str(Path(phiscope.__file__).parents[1].resolve()))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown_by = [[output["data"] for output in cell["outputs"] if "data" in output] for cell in book.cells]
    for (answer,) in shown_by[:3]:
        assert "<img " in answer["text/html"]
        assert "<details>" in answer["text/html"]
    (answer,) = shown_by[3]
    assert "image/png" in answer
