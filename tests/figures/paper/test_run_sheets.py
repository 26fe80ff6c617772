"""The figures of a run by name, from records on disk."""

import numpy as np
import pytest
import torch
from torch import nn

import phiscope
from phiscope.errors import InputError, RunError, UnknownNameError
from phiscope.figures.paper.run_sheets import NAMES, TOLD, run_sheet
from phiscope.figures.why import place_of


def observed(folder, inputs, *, epochs=3, **settings):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 16), nn.ReLU(), nn.Linear(16, 3))
    y = torch.arange(len(inputs)) % 3
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    data = {"train": (inputs[:200], y[:200]), "test": (inputs[200:], y[200:])}
    header = {"class_names": ["ant", "bee", "cow"]}
    with phiscope.Observer(net, data, run=folder, header=header, **settings) as observer:
        for epoch in range(epochs):
            loss = nn.functional.cross_entropy(net(inputs), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            observer.record(epoch=epoch, train_loss=loss)
    return phiscope.open_run(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(1)
    return observed(tmp_path_factory.mktemp("runs") / "mine", torch.rand(300, 1, 5, 5), gradients=2)


WIDE = [(name, 2) for name in NAMES]
NARROW = [pytest.param(name, 1, marks=pytest.mark.slow) for name in NAMES if name != "gallery"]


@pytest.mark.parametrize(("name", "columns"), [*WIDE, ("gallery", 1), *NARROW])
def test_every_figure_is_drawn_as_wide_as_its_columns(run, name, columns, tmp_path):
    figure = run.figure(name)
    path = figure.save(tmp_path / "figure.pdf", columns=columns)
    content = path.read_bytes()
    assert content.startswith(b"%PDF")
    width = float(content.split(b"/MediaBox [ 0 0 ")[1].split()[0]) / 72 * 25.4
    assert width == pytest.approx({1: 85, 2: 178}[columns], abs=1)
    # Letters are letters, not shapes.
    assert b"/Type /Font" in content
    assert "phiscope" in figure.caption
    assert "n = " in figure.caption


def test_a_record_is_chosen_by_its_epoch_and_split(run):
    assert "epoch 1." in run_sheet(run, "spectrum", epoch=1, split="test").caption
    assert "epoch 2." in run_sheet(run, "spectrum").caption
    with pytest.raises(RunError, match=r"nothing was measured at epoch 7; the nearest is 2"):
        run.figure("spectrum", epoch=7)
    with pytest.raises(UnknownNameError, match="split"):
        run.figure("spectrum", split="tset")
    with pytest.raises(UnknownNameError, match="did you mean timeline"):
        run.figure("timelines")
    # A figure of another result: "plane" is spelled most like "layers".
    for name, call in {"layers": "measure_layers", "comparison": "compare", "restriction": "restrict"}.items():
        with pytest.raises(UnknownNameError, match=rf"did you mean phiscope\.{call}\(.*\)\.figure\(\)\?"):
            run.figure(name)


def test_the_spectrum_has_bands_from_disk(run):
    spectrum = run_sheet(run, "spectrum").parts[0]
    assert next(line for line in spectrum.lines if line.label == "centered").low


def test_the_timeline_has_the_intervals_of_its_records(run):
    panels = {panel.name: panel for panel in run_sheet(run, "timeline", split="test").parts}
    assert "loss" in panels
    line = next(line for line in panels[TOLD[0]].lines if line.label == "test")
    expected = [record.measurement("test").interval(TOLD[0]) for record in run.records]
    assert list(zip(line.low, line.high, strict=True)) == [pytest.approx(pair) for pair in expected]
    # Another split's line has none: a panel with two bands is not read.
    assert not next(line for line in panels[TOLD[0]].lines if line.label == "train").low


def test_the_path_of_why_ends_at_the_record(run):
    panel = run_sheet(run, "why", epoch=1).parts[0]
    path = panel.lines[0]
    expected = [place_of(record.measurement("train").evidence) for record in run.records[:2]]
    assert list(zip(path.x, path.y, strict=True)) == [pytest.approx(point) for point in expected]


def test_the_plane_shows_the_stored_values_by_class(run):
    panel = run_sheet(run, "plane", k=(2, 3)).parts[0]
    values = run.records[-1].extras("train")["gallery_centered"]
    assert [dots.label for dots in panel.dots] == ["ant", "bee", "cow"]
    assert sum(len(dots.x) for dots in panel.dots) == len(values)
    assert panel.dots[0].x == pytest.approx(values[::3, 1])
    assert panel.dots[0].y == pytest.approx(values[::3, 2])
    with pytest.raises(InputError, match="expected two of the 6 eigenfunctions"):
        run.figure("plane", k=(1, 9))


def test_the_gallery_shows_extreme_samples_as_pictures(run):
    (pictures,) = run_sheet(run, "gallery").parts
    values = run.records[-1].extras("train")["gallery_centered"]
    largest = int(np.argmax(values[:, 0]))
    shown = run.gallery("train").inputs
    low, high = shown.min(), shown.max()
    expected = ((shown[largest] - low) * (255 / (high - low))).astype(np.uint8)
    assert np.array_equal(pictures.images[0][0][..., 0], expected[0])
    assert pictures.captions[0][0] == f"{['ant', 'bee', 'cow'][largest % 3]} {values[largest, 0]:+.1f}"


def test_gradients_lie_over_the_images_of_the_gallery_when_asked_for(run, tmp_path):
    (plain,), (over,) = run_sheet(run, "gallery").parts, run_sheet(run, "gradients").parts
    # Two eigenfunctions have gradients; the others are left out.
    assert plain.captions[:2] == over.captions
    assert not np.array_equal(plain.images[0][0], over.images[0][0])
    assert over.row_labels == ("e1", "e2")
    assert len(plain.images) > len(over.images) == 2
    assert not plain.title.endswith(" on")
    with pytest.raises(RunError, match="gradients=8 does"):
        run_sheet(observed(tmp_path / "mine", torch.rand(300, 1, 5, 5)), "gradients")


def test_a_table_is_shown_in_words(tmp_path):
    run = observed(tmp_path / "mine", torch.randn(300, 4))
    (pictures,) = run_sheet(run, "gallery").parts
    assert not pictures.images
    assert len(pictures.texts[0][0].splitlines()) == 4
    run.figure("gallery").canvas.draw()


def test_what_was_not_stored_is_one_sentence(tmp_path):
    run = observed(tmp_path / "mine", torch.randn(300, 4), gallery=0)
    for name in ("gallery", "plane", "flow"):
        with pytest.raises(RunError, match="were not stored"):
            run.figure(name)
    single = observed(tmp_path / "single", torch.randn(300, 4), epochs=1)
    with pytest.raises(RunError, match="following them takes two"):
        single.figure("flow")


def test_saving_says_what_cannot_be(run, tmp_path):
    figure = run.figure("why")
    with pytest.raises(InputError, match="ends in no format that matplotlib writes"):
        figure.save(tmp_path / "figure.docx")
    with pytest.raises(InputError, match="a figure is 1 or 2 columns wide"):
        figure.save(tmp_path / "figure.pdf", columns=3)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(phiscope.errors.RunWriteError, match="cannot be written"):
        figure.save(tmp_path / "file" / "figure.pdf")
    # Folders are made, as for a page; not for an ending that is none.
    assert figure.save(tmp_path / "new" / "deep" / "figure.pdf").exists()
    with pytest.raises(InputError, match="ends in no format"):
        figure.save(tmp_path / "other" / "figure.docx")
    assert not (tmp_path / "other").exists()
    figure.axes[0].set_title("mine")
    assert b"mine" in figure.save(tmp_path / "as-it-is.svg").read_bytes()
    assert b"<dc:description>" in (tmp_path / "as-it-is.svg").read_bytes()


def test_the_same_figure_is_the_same_file(run, tmp_path):
    first, second = (run.figure("spectrum").save(tmp_path / f"{i}.pdf").read_bytes() for i in range(2))
    assert first == second


def test_a_decoded_gallery_is_shown_in_its_words(tmp_path, run):
    from dataclasses import replace

    class Told:
        def __getattr__(self, name):
            return getattr(run, name)

        def gallery(self, split):
            kept = run.gallery(split)
            words = tuple((f"before {i} ", f"token{i}", "\nafter it comes more") for i in range(len(kept.inputs)))
            return replace(kept, words=words)

    (pictures,) = run_sheet(Told(), "gallery").parts
    assert not pictures.images
    values = run.records[-1].extras("train")["gallery_centered"]
    largest = int(np.argmax(values[:, 0]))
    assert f"[token{largest}] after it co" in pictures.texts[0][0]
