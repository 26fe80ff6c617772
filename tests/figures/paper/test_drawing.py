"""The figure that results return: shown by a notebook, matplotlib's in all else, and nobody's global state."""

import gc
import pickle
import sys
import types
import warnings
import weakref

import matplotlib
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

import phiscope
from phiscope.errors import InputError
from phiscope.figures.paper.drawing import SHARPNESS, SHOWN_DPI, Drawing


def results():
    g = np.random.default_rng(0)
    X, y = g.normal(size=(60, 6)), np.arange(60) % 3
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    data = torch.from_numpy(X).float(), torch.from_numpy(y)
    return {
        "measurement": phiscope.diagonalize(X, outputs=X[:, :3], targets=y),
        "layers": phiscope.measure_layers(net, data),
        "comparison": phiscope.compare(X, X[:, :4]),
    }


@pytest.fixture(scope="module")
def figures():
    return {name: result.figure() for name, result in results().items()}


@pytest.mark.parametrize("name", ["measurement", "layers", "comparison"])
def test_every_figure_is_matplotlibs_and_shows_itself(figures, name, tmp_path):
    figure = figures[name]
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure.axes
    picture, size = figure._repr_png_()
    (tmp_path / "shown.png").write_bytes(picture)
    height, width = imread(tmp_path / "shown.png").shape[:2]
    assert (width, height) == pytest.approx(tuple(SHOWN_DPI * SHARPNESS * figure.get_size_inches()), abs=1)
    assert (size["width"], size["height"]) == pytest.approx(tuple(SHOWN_DPI * figure.get_size_inches()), abs=1)
    # Something is drawn, in more than one color.
    assert len(np.unique(imread(tmp_path / "shown.png").reshape(-1, 4), axis=0)) > 20
    for suffix in ("pdf", "svg", "png"):
        figure.savefig(tmp_path / f"figure.{suffix}")
        assert (tmp_path / f"figure.{suffix}").stat().st_size > 1000


def test_a_notebook_has_one_picture_to_show(figures):
    """Of the rich forms that notebooks ask for only one answers, so that nothing is shown twice."""
    figure = figures["measurement"]
    forms = ("png", "html", "svg", "jpeg", "pdf", "mimebundle", "markdown", "latex")
    answers = {form: getattr(figure, f"_repr_{form}_", lambda: None)() for form in forms}
    assert [form for form, answer in answers.items() if answer] == ["png"]
    assert not hasattr(figure, "_ipython_display_")


def test_showing_changes_nothing_and_ignores_settings_for_saved_files(figures):
    figure = figures["measurement"]
    before = figure._repr_png_()
    dpi, size = figure.dpi, figure.get_size_inches().copy()
    with matplotlib.rc_context({"savefig.bbox": "tight", "savefig.dpi": 30}):
        assert figure._repr_png_() == before
    assert figure.dpi == dpi
    np.testing.assert_array_equal(figure.get_size_inches(), size)


def test_figures_leave_no_trace():
    m = results()["measurement"]
    before = plt.get_fignums()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An old matplotlib calls a newer pyparsing by names that it no longer likes.
        warnings.simplefilter("ignore", DeprecationWarning)
        made = [weakref.ref(m.figure()) for _ in range(3)]
    # A figure that was laid out holds cycles of transforms, of which one round leaves some to the next.
    gc.collect()
    gc.collect()
    assert plt.get_fignums() == before
    assert [one() for one in made] == [None] * 3


def test_a_figure_can_be_sent_to_another_process(figures):
    again = pickle.loads(pickle.dumps(figures["comparison"]))  # noqa: S301 - made by this line
    assert type(again) is Drawing
    assert len(again.axes) == len(figures["comparison"].axes)


def test_show_outside_a_notebook_says_what_to_do(figures, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with pytest.raises(InputError, match="savefig"):
        figures["measurement"].show()


def test_show_inside_a_notebook_shows_it(figures, monkeypatch):
    shown = []
    notebook = types.SimpleNamespace(get_ipython=object, display=types.SimpleNamespace(display=shown.append))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    figures["measurement"].show()
    assert shown == [figures["measurement"]]
    # IPython may be loaded by a library, with no notebook around.
    monkeypatch.setattr(notebook, "get_ipython", lambda: None)
    with pytest.raises(InputError, match="notebook"):
        figures["measurement"].show()
