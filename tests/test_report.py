"""The page as text: what it says, and that nothing from outside gets in or out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import phiscope
from phiscope.errors import EmptyDataError, MissingDependencyError, RunFormatError
from phiscope.metrics import definition_of
from phiscope.page import report
from phiscope.page.charts import history_spec, map_spec, panel_layout
from phiscope.page.gallery import as_images, input_words, sprite_of, target_words
from phiscope.page.payload import page_data
from phiscope.page.words import gauges, settings_words, shared_facts, unique_labels
from phiscope.runs import RunWriter, open_run
from synthetic_runs import Recipe, write_run

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def page_json(text: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    loaded: dict[str, object] = json.loads(found[1])
    return loaded


def without_library(text: str) -> str:
    return re.sub(r'<script type="text/plain" id="library">.*?</script>', "", text, flags=re.DOTALL)


def test_the_page_says_what_came_out_and_by_which_numbers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(header={"data": "numbers by formula", "settings": {"optimizer": "none"}}))
    text = report(run, tmp_path / "pages" / "a.html").read_text("utf-8")
    evidence = run.records[-1].measurement().evidence
    assert evidence is not None
    assert evidence.regime == "minimal"
    assert "Minimal-feature regime" in text
    assert f"<strong>{evidence.k90}</strong>" in text
    assert "numbers by formula" in text
    assert "optimizer none" in text
    assert "synthetic a" in text
    assert "epochs 0 to 10" in text


def test_every_number_has_definition_direction_range_and_source(tmp_path: Path) -> None:
    import html

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1)))
    text = html.unescape(report(run, tmp_path / "a.html").read_text("utf-8"))
    assert len(run.number_names()) > 20
    for name in run.number_names():
        row = definition_of(name)
        for fact in (row.title, row.meaning, row.equation, row.direction, row.range, row.source):
            assert fact in text, (name, fact)
    assert text.count('class="ours"') == sum(definition_of(name).ours for name in run.number_names())


def test_text_from_users_is_escaped_everywhere(tmp_path: Path) -> None:
    header = {
        "name": EVIL,
        "title": EVIL,
        "description": EVIL,
        "data": EVIL,
        "model": EVIL,
        "settings": {EVIL: EVIL},
        "class_names": [EVIL] * 4,
        "command": EVIL,
    }
    runs = [write_run(tmp_path / name, Recipe(epochs=(0, 1), header=header, scalars={EVIL: 1.0})) for name in "ab"]
    text = report(runs, tmp_path / "a.html").read_text("utf-8")
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text
    assert page_json(text)["runs"][0]["label"] == EVIL  # type: ignore[index]


def test_the_page_asks_no_network(tmp_path: Path) -> None:
    text = without_library(report(write_run(tmp_path / "a", Recipe(epochs=(0, 1))), tmp_path / "a.html").read_text())
    assert "default-src 'none'" in text
    assert not re.findall(r'(?:src|href)="(?!#|https://arxiv\.org/abs/)[^"]+"', text)
    assert "url(" not in text.replace("url(${uri})", "")


def test_non_finite_numbers_become_null(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1), scalars={"loss": float("nan"), "gain": float("inf")}))
    data = page_data({"a": run})
    json.dumps(data, allow_nan=False)
    assert data["runs"][0]["scalars"]["loss"] == [None, None]
    text = report(run, tmp_path / "a.html").read_text("utf-8")
    assert "not finite" in text
    assert "2 values are NaN or infinite and not drawn." in text


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (Recipe(epochs=(0, 1), status="interrupted"), "interrupted by its user; all that was recorded up to epoch 1"),
        (Recipe(epochs=(0,), status=None), "still going or was killed"),
        (Recipe(epochs=(), status=None), "Nothing measured yet"),
        (Recipe(epochs=(0,)), "one measurement only"),
        (Recipe(epochs=(0, 1), outputs=False), "Regime cannot be told"),
        (Recipe(epochs=(0, 1), classes=None, splits=("probe",), side=0), "rank of the outputs"),
        (Recipe(epochs=(0, 1), classes=1), "synthetic"),
    ],
)
def test_unusual_runs_have_a_page(tmp_path: Path, recipe: Recipe, words: str) -> None:
    text = report(write_run(tmp_path / "run", recipe), tmp_path / "a.html").read_text("utf-8")
    assert words in text
    page_json(text)


def test_a_record_with_scalars_only_is_in_the_histories_but_not_on_the_slider(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0, 1), status=None))
    writer = RunWriter.create(tmp_path / "run", {}, resume=True)
    writer.append(2, 20, {"train_loss": 0.5}, {})
    run = open_run(tmp_path / "run")
    data = page_data({"run": run})
    assert [position["epoch"] for position in data["positions"]] == [0, 1]
    text = report(run, tmp_path / "a.html").read_text("utf-8")
    assert 2 in page_json(text)["history"][1]["data"][0]["x"]  # type: ignore[index]


def test_runs_of_other_length_share_one_slider(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", Recipe(epochs=(0, 2, 4)))
    b = write_run(tmp_path / "b", Recipe(epochs=(1, 2), splits=("probe",)))
    data = page_data({"a": a, "b": b})
    assert [position["epoch"] for position in data["positions"]] == [0, 1, 2, 4]
    assert [run["at"] for run in data["runs"]] == [[0, 0, 1, 2], [-1, 0, 1, 1]]
    assert data["splits"] == ["train", "test", "probe"]


def test_records_of_one_epoch_are_told_apart_by_step(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Recipe(epochs=(0, 1), status=None))
    run = open_run(tmp_path / "run")
    measured = {split: run.records[-1].measurement(split) for split in run.splits}
    RunWriter.create(tmp_path / "run", {}, resume=True).append(1, 99, {}, measured)
    data = page_data({"run": open_run(tmp_path / "run")})
    assert [position["label"] for position in data["positions"]][1:] == ["epoch 1, step 10", "epoch 1, step 99"]


def test_a_long_run_with_many_classes_stays_small_enough(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Recipe(epochs=range(60), classes=30, p=64, n=150, splits=("train",)))
    page = report(run, tmp_path / "a.html")
    assert page.stat().st_size < 6e6


def test_plotly_accepts_every_specification(tmp_path: Path) -> None:
    import plotly.graph_objects as go

    from phiscope.figures import class_map, history_sections, operator_figure

    run = write_run(tmp_path / "a", Recipe(epochs=(0, 1)))
    measured = run.records[-1].measurement()
    for panel in operator_figure(measured, centered=True).panels:
        go.Figure(layout=panel_layout(panel, top=30, lowest=1e-4))
    for section in history_sections({"a": run}):
        for panel in section.panels:
            go.Figure(**history_spec(panel))
    heat = class_map(measured)
    assert heat is not None
    go.Figure(**map_spec(heat, columns=len(heat.values[0])))
    with pytest.raises(ValueError, match="Invalid"):
        go.Figure(layout={"no_such_thing": 1})


def test_sprite_holds_every_sample_at_its_place() -> None:
    import base64
    import io

    from PIL import Image

    images = as_images(np.arange(5 * 4 * 4, dtype=float).reshape(5, 4, 4))
    assert images is not None
    sprite = sprite_of(images)
    assert (sprite.columns, sprite.rows, sprite.width, sprite.height) == (3, 2, 4, 4)
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(sprite.uri.split(",")[1]))))
    np.testing.assert_array_equal(sheet[4:8, 4:8], images[4, :, :, 0])
    assert sheet[4:8, 8:12].max() == 0


@pytest.mark.parametrize("shape", [(7, 6, 5), (7, 1, 6, 5), (7, 3, 6, 5), (7, 6, 5, 3)])
def test_image_layouts(shape: tuple[int, ...]) -> None:
    images = as_images(np.random.default_rng(0).random(shape))
    assert images is not None
    assert images.shape[:3] == (7, 6, 5)


def test_large_images_are_averaged_down_and_other_arrays_are_words() -> None:
    sprite = sprite_of(np.full((2, 200, 100, 3), 9, dtype=np.uint8))
    assert max(sprite.width, sprite.height) <= 48
    assert as_images(np.zeros((3, 10))) is None
    assert as_images(np.full((2, 3, 3), np.nan)) is not None
    assert input_words(np.array([[1, 2, 97]])) == ["(1, 2, 97)"]
    assert input_words(np.zeros((2, 100))) == ["sample 0", "sample 1"]
    assert target_words(np.array([1, 5]), ("no", "yes"), 2) == ["yes", "5"]
    assert target_words(np.array([[0.5], [1.25]]), None, 2) == ["0.5", "1.25"]


def test_gauges_stay_on_their_scale() -> None:
    from phiscope.metrics.regime import decide_regime

    for k90, rank, cliff in ((1, 1, 1.0), (9, 9, 7.0), (500, 9, 1e12), (1, 99, 2.0)):
        evidence = decide_regime(
            output_rank=rank,
            n_directions=1000,
            k90=k90,
            used_variance=0.5,
            dynamical_low_rank=0.3,
            cliff=cliff,
            initial_kernel_similarity=1.2,
        )
        for gauge in gauges(evidence):
            assert 0 <= gauge.at <= 100
            assert gauge.zones[0][1] == 0
            assert gauge.zones[-1][2] == 100
            assert all(start <= end for _, start, end in gauge.zones)


def test_words_about_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", Recipe(epochs=(0,), header={"name": "same"}))
    b = write_run(tmp_path / "b", Recipe(epochs=(0,), header={"name": "same", "model": "another"}))
    assert unique_labels([a, b]) == ("same", "same (2)")
    assert ("Task", "classification, 4 classes") in shared_facts([a, b])
    assert "Network" not in dict(shared_facts([a, b]))
    assert shared_facts([a]) == ()
    assert settings_words({"seed": 0, "warmup": 0, "stages": [[1]]}) == "seed 0"


def test_wrong_use_and_missing_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmptyDataError, match="at least one run"):
        report([], tmp_path / "a.html")
    with pytest.raises(RunFormatError):
        report(tmp_path / "nothing", tmp_path / "a.html")
    run = write_run(tmp_path / "a", Recipe(epochs=(0,)))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"phiscope\[report\]"):
        report(run, tmp_path / "a.html")
    assert list(tmp_path.glob("*.html*")) == []


def test_an_existing_page_is_replaced_whole(tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_text("old")
    run = write_run(tmp_path / "a", Recipe(epochs=(0,)))
    assert report([str(run.path)], str(page)) == page
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.html"]


def test_a_word_comes_with_what_speaks_against_the_other():
    from phiscope.page.words import REGIME_MEANINGS, regime_meaning

    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(4000, 24))
    strong = np.pad(rng.normal(size=(4000, 6)) * np.r_[3.0, 1.5, 1.0, 0.7, 0.5, 0.3], ((0, 0), (0, 18))) + noise
    flat = np.pad(rng.normal(size=(4000, 6)), ((0, 0), (0, 18))) + noise
    head = (np.eye(6, 24), np.zeros(6))
    uneven, even = (phiscope.diagonalize(features, head=head) for features in (strong, flat))
    assert uneven.regime == "intermediate"
    assert even.regime == "minimal"
    assert "features of unequal strength, PR / r = " in regime_meaning(uneven)
    assert regime_meaning(even) == REGIME_MEANINGS["minimal"]
    none = phiscope.diagonalize(flat[:, :6], head=(np.eye(6), np.zeros(6)))
    assert regime_meaning(none).startswith("Output rank r = 6 is more than half of the 6 directions")
