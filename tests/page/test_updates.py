"""What an open page is told: with it, the page knows what a page made anew would know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from browsing import NEEDS_BROWSER, started_browser
from phiscope.figures import history_sections
from phiscope.page.build import history_data, on_one_axis
from phiscope.page.payload import Extremes, page_data
from phiscope.page.updates import has_chosen_rows, history_key, page_update
from phiscope.runs import Run
from synthetic_runs import Recipe, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def cut(run: Run, count: int) -> Run:
    """The run as it was when it had so many records."""
    return replace(run, records=run.records[:count])


def whole(runs: dict[str, Run]) -> dict[str, Any]:
    data = page_data(on_one_axis(runs))
    return json.loads(json.dumps(data | {"history": history_data(history_sections(runs))}, allow_nan=False))


def told(before: dict[str, Any], runs: dict[str, Run], firsts: list[int]) -> dict[str, Any]:
    known = [Extremes(**run["extremes"]) for run in before["runs"]]
    update, _ = page_update(on_one_axis(runs), firsts, known)
    return json.loads(json.dumps(update, allow_nan=False))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("pair")
    a = write_run(folder / "a", Recipe(epochs=range(7), n=60, p=12))
    # Its moments lie between and before those of the first run.
    b = write_run(folder / "b", Recipe(epochs=(1, 2, 4, 9), collapse=0.3, n=60, p=16, splits=("test", "probe")))
    return {"a": a, "b": b}


def test_only_new_records_travel(pair: dict[str, Run]) -> None:
    before = whole({"a": cut(pair["a"], 6)})
    update = told(before, {"a": pair["a"]}, [6])
    fresh = update["runs"][0]
    assert fresh["first"] == 6
    assert fresh["epochs"] == [6]
    for name in ("curves", "maps", "gallery", "turns"):
        assert {len(rows) for modes in fresh[name].values() for rows in modes.values()} == {1}
    assert {len(points["x"]) for lines in update["history"].values() for points in lines.values()} == {1}
    assert [position["epoch"] for position in update["positions"]] == [6]
    # The followed functions are compared with the record before, and with no other.
    assert fresh["tracks"]["train"]["centered"]["diagonalized"]["records"] == [5, 6]
    assert len(json.dumps(update)) < len(json.dumps(before)) / 2


def test_a_run_without_news_costs_its_summary_only(pair: dict[str, Run]) -> None:
    before = whole(pair)
    update = told(before, pair, [7, 4])
    assert [("epochs" in run, run["first"]) for run in update["runs"]] == [(False, 7), (False, 4)]
    assert update["positions"] == []
    assert update["history"] == {}


def test_a_page_that_chooses_among_many_classes_is_made_anew(pair: dict[str, Run]) -> None:
    assert not has_chosen_rows(pair)
    label, run = next(iter(pair.items()))
    many = replace(run, header={**run.header, "class_names": [f"word {i}" for i in range(5000)]})
    assert has_chosen_rows({label: many})


def test_pictures_only_reach_further() -> None:
    near, far = Extremes(lowest=0.1, widest=8, functions=3, faintest=0.2), Extremes(lowest=0.01, widest=4, functions=5)
    assert near.wider(far) == Extremes(lowest=0.01, widest=8, functions=5, faintest=0.2)


def test_a_number_that_a_loop_records_too_has_panels_of_its_own() -> None:
    assert history_key("a", "nc1") != history_key("b", "nc1")


# ---- in a browser: grow.js -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as started:
        yield started


@pytest.fixture(scope="module")
def script(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.add_script_tag(content=(files("phiscope.page") / "assets" / "grow.js").read_text("utf-8"))
    yield page
    page.close()


def grown(script: Page, before: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = script.evaluate("([data, update]) => { grow(data, update); return data; }", [before, update])
    return made


def without_ticks(data: dict[str, Any]) -> dict[str, Any]:
    """Whether an axis is logarithmic is decided when a page is made; the ends are judged by a test of their own."""
    for spec in data["history"]:
        spec["layout"].pop("yaxis")
    return data


class TestInTheBrowser:
    pytestmark = NEEDS_BROWSER

    @pytest.mark.parametrize("count", [2, 3, 6])
    def test_a_page_that_was_told_knows_what_a_new_page_knows(
        self, script: Page, pair: dict[str, Run], count: int
    ) -> None:
        before = whole({"a": cut(pair["a"], count)})
        after = grown(script, before, told(before, {"a": pair["a"]}, [count]))
        assert without_ticks(after) == without_ticks(whole({"a": pair["a"]}))

    def test_record_by_record(self, script: Page, pair: dict[str, Run]) -> None:
        data = whole({"a": cut(pair["a"], 2)})
        for count in range(3, 8):
            data = grown(script, data, told(data, {"a": cut(pair["a"], count)}, [count - 1]))
        assert without_ticks(data) == without_ticks(whole({"a": pair["a"]}))

    def test_two_runs_that_grow_in_turn(self, script: Page, pair: dict[str, Run]) -> None:
        data = whole({"a": cut(pair["a"], 3), "b": cut(pair["b"], 2)})
        for a, b, firsts in ((3, 4, [3, 2]), (7, 4, [3, 4])):
            runs = {"a": cut(pair["a"], a), "b": cut(pair["b"], b)}
            data = grown(script, data, told(data, runs, firsts))
        assert without_ticks(data) == without_ticks(whole(pair))

    def test_a_record_that_changed_is_replaced(self, script: Page, pair: dict[str, Run]) -> None:
        """A late note: the last record gets one more scalar's value."""
        run = pair["a"]
        noted = replace(run.records[-1], scalars={**run.records[-1].scalars, "test_accuracy": 0.125})
        changed = replace(run, records=(*run.records[:-1], noted))
        before = whole({"a": run})
        after = grown(script, before, told(before, {"a": changed}, [6]))
        assert after["runs"][0]["scalars"]["test_accuracy"][-1] == 0.125
        assert without_ticks(after) == without_ticks(whole({"a": changed}))

    def test_records_that_miss_a_split_or_a_scalar_leave_holes(self, script: Page, pair: dict[str, Run]) -> None:
        run = pair["a"]
        bare = replace(run.records[5], splits=(), scalars={}, line={**run.records[5].line, "numbers": {}})
        holey = replace(run, records=(*run.records[:5], bare, run.records[6]))
        data = whole({"a": cut(holey, 5)})
        data = grown(script, data, told(data, {"a": cut(holey, 6)}, [5]))
        data = grown(script, data, told(data, {"a": holey}, [6]))
        assert without_ticks(data) == without_ticks(whole({"a": holey}))

    def test_a_logarithmic_axis_holds_new_values(self, script: Page) -> None:
        axis = {"type": "log", "range": [-2.0, 1.0], "tickvals": [1], "ticktext": ["1"]}
        widen = "([axis, values]) => { widenLog(axis, values); return axis; }"
        assert script.evaluate(widen, [axis, [0.5, 0, None, -3]]) == axis
        wider = script.evaluate(widen, [axis, [1e-4, 2.0]])
        assert wider["range"][0] < -4 < wider["range"][0] + 0.2
        assert wider["range"][1] == 1
        assert "tickvals" not in wider
        assert script.evaluate(widen, [{"type": "linear", "range": [0, 1]}, [5]]) == {"type": "linear", "range": [0, 1]}

    def test_seeds_that_grow_in_turn_move_their_common_line(
        self, script: Page, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("seeds")
        recipes = [
            Recipe(epochs=(0, 1, 2), p=6, n=50, side=0, collapse=0.5 + seed / 3, header={"settings": {"seed": seed}})
            for seed in range(2)
        ]
        runs = {f"seed {seed}": write_run(folder / str(seed), recipe) for seed, recipe in enumerate(recipes)}
        data = whole({label: cut(run, 1) for label, run in runs.items()})
        for counts, firsts in (((3, 1), [1, 1]), ((3, 2), [3, 1]), ((3, 3), [3, 2])):
            grown_runs = {label: cut(run, count) for (label, run), count in zip(runs.items(), counts, strict=True)}
            data = grown(script, data, told(data, grown_runs, firsts))
        assert without_ticks(data) == without_ticks(whole(runs))
        lines = [trace for spec in data["history"] for trace in spec["data"]]
        assert all(trace["x"] == [0, 1, 2] for trace in lines if "(2 seeds)" in trace["name"])
