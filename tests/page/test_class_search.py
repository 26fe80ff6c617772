"""Thousands of classes: which the map shows, how the others are found, and what the page weighs."""

import base64
import gzip
import re

import numpy as np
import pytest

import phiscope
from phiscope.figures.classes import SHOWN_CLASSES, class_map, class_order
from phiscope.page.charts import visible
from phiscope.page.class_search import CELLS, STEPS, class_search, packed
from phiscope.page.payload import page_data
from synthetic_runs import Recipe, write_run
from vocabulary_runs import write_vocabulary_run

NAMES = [f" word{c}" if c % 2 else f"Wort{c}</script><b>" for c in range(50_000)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_vocabulary_run(tmp_path_factory.mktemp("v") / "words", splits=("train", "test"), names=NAMES)


def unpacked(frame, mode):
    cells = np.frombuffer(gzip.decompress(base64.b64decode(frame[mode]["cells"])), dtype="<i2")
    return cells.reshape(frame[mode]["columns"], -1).T / STEPS * frame[mode]["limit"]


def naive_parts(features, y, columns):
    """Frequency times squared mean of the leading centered eigenfunctions, class by class from the samples."""
    centered = features - features.mean(0)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(features))
    functions = (centered @ vectors[:, ::-1] / np.sqrt(values[::-1]))[:, :columns]
    return {c: np.mean(y == c) * float((functions[y == c].mean(0) ** 2).sum()) for c in np.unique(y)}, functions


def test_the_order_is_that_of_a_naive_twin(run):
    opened, samples = run
    measured = opened.records[-1].measurement("train")
    order = class_order(measured)
    parts, _ = naive_parts(*samples["train"], order.columns)
    assert len(order.labels) == len(parts) == 5_000
    np.testing.assert_allclose(order.parts, [parts[c] for c in order.labels], rtol=1e-6, atol=1e-12)
    assert (np.diff(order.parts) <= 0).all()
    # Parts of all classes add up to the quality of the functions asked.
    assert order.parts.sum() == pytest.approx(measured.centered.quality[: order.columns].sum(), rel=1e-9)
    assert order.share(5_000) == pytest.approx(1)
    assert order.share(40) == pytest.approx(sum(sorted(parts.values())[-40:]) / sum(parts.values()), rel=1e-6)


def test_found_rows_hold_the_means_of_their_class(run):
    opened, samples = run
    found = class_search(opened, "train")
    frame = found.frame
    assert frame["occur"] == 5_000
    assert frame["classes"] == 50_000
    assert len(frame["names"]) == min(5_000, CELLS // (4 * frame["centered"]["columns"]))
    features, y = samples["train"]
    _, functions = naive_parts(features, y, frame["centered"]["columns"])
    cells, measured = unpacked(frame, "centered"), opened.records[-1].measurement("train")
    signs = np.sign((functions * measured.eigenfunctions(features, centered=True)[:, : functions.shape[1]]).sum(0))
    labels = class_order(measured).labels
    for place in (0, 7, 4_000):
        wanted = functions[y == labels[place]].mean(0) * signs
        np.testing.assert_allclose(cells[place], wanted, atol=frame["centered"]["limit"] / STEPS)
        assert frame["names"][place] == visible(NAMES[labels[place]])
    # The control: another class has another row.
    assert np.abs(cells[0] - cells[1]).max() > 100 * frame["centered"]["limit"] / STEPS
    assert len(found.shown) == SHOWN_CLASSES
    np.testing.assert_array_equal(found.shown, labels[:SHOWN_CLASSES])


def test_the_map_shows_the_same_classes_at_every_record(run):
    opened, _samples = run
    data = page_data({"words": opened})["runs"][0]
    shown = class_search(opened, "train").shown
    for index, record in enumerate(opened.records):
        measured = record.measurement("train")
        heat = class_map(measured, centered=True, class_names=tuple(NAMES), rows=shown)
        assert heat.row_labels[0] == NAMES[shown[0]]
        whole = measured.class_profile(len(heat.values[0]), centered=True)
        np.testing.assert_allclose(np.array(heat.values), whole[shown], rtol=1e-9)
        assert np.array(data["maps"]["train"]["centered"][index]["z"]).shape == (SHOWN_CLASSES, 16)
    assert len(data["classes"]) < 200


def test_a_page_of_five_thousand_words_is_below_three_megabytes(run, tmp_path):
    path = phiscope.report([run[0]], tmp_path / "page.html")
    assert path.stat().st_size < 3_000_000
    text = path.read_text(encoding="utf-8")
    assert "</script><b>" not in re.sub(r"</script>\s", "", text)


def test_few_classes_have_a_row_each_and_no_search(tmp_path):
    small = write_run(tmp_path / "small", Recipe(epochs=(0, 1)))
    assert class_search(small, "train") is None
    data = page_data({"small": small})["runs"][0]
    assert data["searches"] == {"train": None, "test": None}
    assert len(data["maps"]["train"]["centered"][0]["z"]) == 4


def test_few_classes_of_many_all_stand_on_the_map(tmp_path):
    run, _ = write_vocabulary_run(tmp_path / "few", words=5_000, occur=12, n=200, p=6, records=1)
    found = class_search(run, "train")
    assert (found.frame["occur"], found.frame["shown"], found.frame["share"]) == (12, 12, 1.0)
    assert np.isfinite(unpacked(found.frame, "raw")).all()
    assert found.frame["names"][0].startswith("class ")


def test_cells_survive_packing():
    cells = np.random.default_rng(0).normal(size=(30, 4)) * 7
    frame = {"raw": packed(cells)}
    np.testing.assert_allclose(unpacked(frame, "raw"), cells, atol=np.abs(cells).max() / STEPS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("", "(empty)"), ("  ", "␣␣"), ("\n", "⏎"), (" a\tb ", "␣a⇥b␣"), ("x" * 50, "x" * 39 + "…"), ("\r\n", "⏎")],
)
def test_blanks_can_be_seen(name, shown):
    assert visible(name) == shown
