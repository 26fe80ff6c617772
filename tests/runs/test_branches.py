"""A resume from an earlier checkpoint branches: nothing is deleted, one line of training is shown, others can be."""

import json

import pytest

import phiscope
from phiscope.errors import InputError, RunError, UnknownNameError
from phiscope.runs import RunWriter, open_run
from phiscope.runs.branches import TrainingLine
from phiscope.runs.lines import Lines


@pytest.fixture
def folder(tmp_path):
    writer = RunWriter.create(tmp_path / "run", {"name": "mine"})
    for epoch in range(5):
        writer.append(epoch, 10 * epoch, {"x": float(epoch)}, {})
    writer.close()
    return tmp_path / "run"


def resumed(folder, *epochs):
    writer = RunWriter.create(folder, {}, resume=True)
    for epoch in epochs:
        writer.append(epoch, None, {"again": float(epoch)}, {})
    writer.close()
    return open_run(folder)


def shown(run):
    return [record.epoch for record in run.records]


def test_going_on_behind_the_last_record_is_no_branch(folder):
    run = resumed(folder, 5, 6)
    assert (shown(run), run.branches, run.hidden) == ([0, 1, 2, 3, 4, 5, 6], (0,), 0)


def test_a_step_back_leaves_the_line_and_deletes_nothing(folder):
    before = (folder / "scalars.jsonl").read_bytes()
    run = resumed(folder, 3, 4, 5)
    assert (folder / "scalars.jsonl").read_bytes().startswith(before)
    assert shown(run) == [0, 1, 2, 3, 4, 5]
    assert [record.index for record in run.records] == [0, 1, 2, 5, 6, 7]
    assert [record.branch for record in run.records] == [0, 0, 0, 1, 1, 1]
    assert (run.branches, run.shown, run.hidden) == ((0, 1), 1, 2)
    other = run.branch(0)
    assert (shown(other), other.shown) == ([0, 1, 2, 3, 4], 0)
    assert shown(other.branch(1)) == shown(run)
    with pytest.raises(UnknownNameError, match="no branch named '2'"):
        run.branch(2)


def test_branches_of_branches(folder):
    resumed(folder, 3, 4)
    run = resumed(folder, 2, 3)
    assert shown(run) == [0, 1, 2, 3]
    assert [record.index for record in run.records] == [0, 1, 7, 8]
    assert [shown(run.branch(number)) for number in run.branches] == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3]]
    run = resumed(folder, 4, 5)
    assert ([record.index for record in run.records], run.branches) == ([0, 1, 7, 8, 9, 10], (0, 1, 2))
    # From the middle of a branch, and from before everything.
    assert [record.index for record in resumed(folder, 3).records] == [0, 1, 7, 11]
    run = resumed(folder, 0, 1)
    assert ([record.index for record in run.records], run.shown) == ([12, 13], 4)
    assert len(run.branch(0).records) == 5


def test_within_an_epoch_steps_decide(folder):
    writer = RunWriter.create(folder, {}, resume=True)
    writer.append(4, 45, {}, {})
    writer.close()
    assert open_run(folder).branches == (0,)
    writer = RunWriter.create(folder, {}, resume=True)
    writer.append(4, 42, {}, {})
    writer.close()
    assert [(record.epoch, record.step) for record in open_run(folder).records][-2:] == [(4, 40), (4, 42)]


def test_without_a_resume_nothing_branches(tmp_path):
    writer = RunWriter.create(tmp_path / "run", {})
    for epoch in (3, 1, 2):
        writer.append(epoch, None, {}, {})
    run = open_run(writer.path)
    assert (shown(run), run.branches) == ([3, 1, 2], (0,))


def test_a_checkpoint_names_the_record_to_go_on_from(folder):
    writer = RunWriter.create(folder, {}, resume=True)
    assert writer.last_index == 4
    writer.go_on_from(4)
    writer.append(4.5, None, {}, {})
    assert open_run(folder).branches == (0,)
    writer.go_on_from(1)
    writer.append(7, None, {}, {})  # later than all, and yet after record 1
    assert [record.index for record in open_run(folder).records] == [0, 1, 6]
    writer.go_on_from(5)
    writer.append(8, None, {}, {})
    assert [record.index for record in open_run(folder).records] == [0, 1, 2, 3, 4, 5, 7]
    writer.go_on_from(-1)
    writer.append(0, None, {}, {})
    assert [record.index for record in open_run(folder).records] == [8]
    with pytest.raises(RunError, match="no record 77"):
        writer.go_on_from(77)


def test_a_damaged_line_costs_one_record_and_not_the_branch(folder):
    resumed(folder, 3, 4, 5)
    path = folder / "scalars.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for lost, left in ((5, [0, 1, 2, 4, 5]), (1, [0, 2, 3, 4, 5]), (2, [0, 1, 3, 4, 5])):
        path.write_text("".join("\0" * 20 + "\n" if number == lost else line for number, line in enumerate(lines)))
        run = open_run(folder)
        assert shown(run) == left
        assert len(run.warnings) == 1


def test_the_files_of_a_record_whose_line_is_damaged_are_not_written_over(tmp_path):
    from synthetic_runs import Recipe, write_run

    run = write_run(tmp_path / "run", Recipe(epochs=(0, 1), p=6, n=20, gallery=False, status=None))
    path = run.path / "scalars.jsonl"
    first, _ = path.read_text().splitlines()
    path.write_text(f"{first}\nnot a record any more\n")
    file = run.path / "records" / "000001.train.safetensors"
    before = file.read_bytes()
    writer = RunWriter.create(run.path, {}, resume=True)
    writer.append(1, None, {}, {"train": run.records[0].measurement("train")})
    assert file.read_bytes() == before
    assert open_run(run.path).records[-1].index == 2


def test_the_page_shows_one_line_and_says_that_there_are_others(folder, tmp_path):
    run = resumed(folder, 3, 4, 5)
    page = phiscope.report([run], tmp_path / "page.html").read_text()
    assert "6 records, epochs 0 to 5; 2 more on branches that the training left" in page
    assert json.loads(page[page.index('id="data">') + 10 :].split("</script>")[0])["runs"][0]["epochs"] == shown(run)
    assert (
        "5 records, epochs 0 to 4; 3 more on branches" in phiscope.report([run.branch(0)], tmp_path / "b").read_text()
    )


def test_late_and_early_scalars(folder):
    writer = RunWriter.create(folder, {}, resume=True)
    writer.note(4, None, {"late": 1.0})
    writer.note(5, None, {"early": 2.0, "loss": 9.0})
    assert open_run(folder).records[-1].scalars == {"early": 2.0, "loss": 9.0}  # nothing said is lost to a kill
    writer.append(5, 50, {"loss": 3.0}, {})
    writer.note(5, 50, {"late": 4.0, "loss": float("nan")})
    writer.note(None, None, {"later": 5.0})
    writer.note(1, None, {"x": 7.0})
    run = open_run(folder)
    assert shown(run) == [0, 1, 2, 3, 4, 5]
    assert run.records[4].scalars == {"x": 4.0, "late": 1.0}
    last = dict(run.records[5].scalars)
    assert str(last.pop("loss")) == "nan"
    assert last == {"early": 2.0, "late": 4.0, "later": 5.0}
    assert run.records[1].scalars["x"] == 7.0
    with pytest.raises(InputError, match="must be one number"):
        writer.note(1, None, {"x": "high"})


def test_a_note_about_an_epoch_that_is_trained_anew_is_not_one_about_the_old_record(folder):
    writer = RunWriter.create(folder, {}, resume=True)
    writer.note(3, None, {"eval_loss": 0.5})
    writer.append(3, None, {"loss": 1.0}, {})
    run = open_run(folder)
    assert run.records[-1].scalars == {"eval_loss": 0.5, "loss": 1.0}
    assert shown(run) == [0, 1, 2, 3]
    assert run.branch(0).records[3].scalars == {"x": 3.0}


def test_a_note_before_anything_needs_an_epoch(tmp_path):
    writer = RunWriter.create(tmp_path / "run", {})
    with pytest.raises(InputError, match="says no epoch"):
        writer.note(None, None, {"x": 1.0})


def test_the_line_of_nothing():
    line = TrainingLine(Lines())
    assert line.last is None
    assert line.place(3, None).branch == 0
    assert not line.go_on_from(Lines(), 0)
    assert line.go_on_from(Lines(), -1)
