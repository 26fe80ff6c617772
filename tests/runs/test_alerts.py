"""The evidence of an alert in a run: whole, strict JSON, and read with what is damaged left out."""

import json

import pytest

import phiscope
from phiscope.errors import RunFormatError
from phiscope.runs import RunWriter
from phiscope.runs.alerts import FOLDER, read_alerts, save_alert
from small_runs import written_run


def test_alerts_are_read_in_the_order_of_their_records(tmp_path):
    for index, number in ((12, 0), (3, 1), (3, 0), (1_000_000, 0)):
        save_alert(tmp_path, index, number, {"sentence": f"{index} {number}", "record": index})
    alerts, problems = read_alerts(tmp_path)
    assert [alert["sentence"] for alert in alerts] == ["3 0", "3 1", "12 0", "1000000 0"]
    assert problems == ()
    assert not list(tmp_path.rglob("*.partial"))


def test_numbers_that_json_has_not_are_text(tmp_path):
    path = save_alert(tmp_path, 0, 0, {"sentence": "s", "values": [{"value": float("nan")}], "value": float("inf")})
    content = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (content["value"], content["values"][0]["value"]) == ("inf", "nan")


def test_a_run_says_its_alerts(tmp_path):
    run = written_run(tmp_path / "r", "mine")
    assert phiscope.open_run(run).alerts == ()
    save_alert(run, 1, 0, {"sentence": "nc1 above 1"})
    opened = phiscope.open_run(run)
    assert [alert["sentence"] for alert in opened.alerts] == ["nc1 above 1"]
    assert opened.warnings == ("alert: nc1 above 1",)


def test_what_is_damaged_is_left_out_and_said(tmp_path):
    run = written_run(tmp_path / "r", "mine")
    (run / FOLDER).mkdir()
    (run / FOLDER / "000000.0.json").write_text("{")
    (run / FOLDER / "000001.0.json").write_text('{"sentence": 3}')
    (run / FOLDER / "notes.txt").write_text("not one of ours")
    opened = phiscope.open_run(run)
    assert opened.alerts == ()
    assert len(opened.warnings) == 2
    assert "cannot be read" in opened.warnings[0]
    assert "says no sentence" in opened.warnings[1]


def test_a_link_is_not_followed(tmp_path):
    run = written_run(tmp_path / "r", "mine")
    save_alert(tmp_path / "elsewhere", 0, 0, {"sentence": "not of this run"})
    (run / FOLDER).symlink_to(tmp_path / "elsewhere" / FOLDER)
    assert phiscope.open_run(run).alerts == ()
    with pytest.raises(RunFormatError, match="is a link"):
        RunWriter.create(run, {}, resume=True)
