"""The file of lines: appended behind what is known, never cut where somebody else has written."""

import os
import shutil

import pytest

from phiscope.errors import RunError, RunLockedError, RunWriteError
from phiscope.runs import RunWriter, journal, open_run


@pytest.fixture
def writer(tmp_path):
    made = RunWriter.create(tmp_path / "run", {"name": "mine"})
    made.append(0, 0, {"x": 0.0}, {})
    made.append(1, 1, {"x": 1.0}, {})
    return made


def epochs(writer):
    return [record.epoch for record in open_run(writer.path).records]


def test_a_file_that_is_gone_or_shorter_is_not_written_to(writer):
    path = writer.path / "scalars.jsonl"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(RunWriteError, match=r"scalars\.jsonl cannot be written \(No such file"):
        writer.append(2, 2, {}, {})
    assert not path.exists()
    path.write_bytes(content[: content.index(b"\n") + 1])
    with pytest.raises(RunLockedError, match="not as this writer left it"):
        writer.append(2, 2, {}, {})
    path.write_bytes(content.replace(b'"x": 1.0', b'"x": 2.0'))
    with pytest.raises(RunLockedError, match="not as this writer left it"):
        writer.append(2, 2, {}, {})
    path.write_bytes(content)
    writer.append(2, 2, {}, {})
    assert epochs(writer) == [0, 1, 2]


def test_what_somebody_else_appended_stays(writer):
    path = writer.path / "scalars.jsonl"
    for tail in (b'{"index": 2}\n', b"half a li"):
        content = path.read_bytes()
        path.write_bytes(content + tail)
        with pytest.raises(RunLockedError, match=f"{len(tail)} bytes that this writer did not write"):
            writer.append(2, 2, {}, {})
        assert path.read_bytes() == content + tail
        path.write_bytes(content)


def test_a_link_put_in_place_of_the_file_is_not_followed(writer, tmp_path):
    path = writer.path / "scalars.jsonl"
    (tmp_path / "victim").write_bytes(path.read_bytes() + b"and this tail")
    path.unlink()
    path.symlink_to(tmp_path / "victim")
    with pytest.raises(RunWriteError):
        writer.append(2, 2, {}, {})
    assert (tmp_path / "victim").read_bytes().endswith(b"and this tail")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError):
        writer.append(2, 2, {}, {})


@pytest.mark.parametrize("kind", ["nothing", "a part", "all but the end", "all"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_append_that_is_stopped_halfway_is_undone_or_taken_for_done(writer, monkeypatch, kind, error):
    plain = journal._write_all

    def stopped(file, content, start):
        written = {"nothing": 0, "a part": len(content) // 2, "all but the end": len(content) - 1, "all": len(content)}
        plain(file, content[: written[kind]], start)
        raise error

    monkeypatch.setattr(journal, "_write_all", stopped)
    with pytest.raises((KeyboardInterrupt, RunWriteError)) as caught:
        writer.append(2, 2, {"x": 2.0}, {})
    if isinstance(error, OSError):
        assert str(writer.path / "scalars.jsonl") in str(caught.value)
        assert "No space left on device" in str(caught.value)
        assert "the training" in str(caught.value)
    monkeypatch.undo()
    writer.append(3, 3, {"x": 3.0}, {})
    run = open_run(writer.path)
    assert epochs(writer) == ([0, 1, 2, 3] if kind == "all" else [0, 1, 3])
    assert run.warnings == ()
    assert len({record.index for record in run.records}) == len(run.records)


def test_a_deleted_folder_is_one_sentence_and_is_not_made_anew(writer):
    shutil.rmtree(writer.path)
    with pytest.raises(RunWriteError, match="was deleted, moved or made anew") as caught:
        writer.append(2, 2, {}, {})
    assert "the training is untouched" in str(caught.value)
    assert not writer.path.exists()
    RunWriter.create(writer.path, {"name": "another"}).append(0, 0, {}, {})
    with pytest.raises(RunWriteError, match="made anew"):
        writer.append(2, 2, {}, {})
    assert epochs(writer) == [0]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="file"):
        RunWriter.create(tmp_path / "file" / "run", {})
    with pytest.raises(RunError, match="cannot be written"):
        RunWriter.create("/proc/phiscope-run", {})
    for nothing in ("", "a\0b"):
        with pytest.raises(ValueError, match="names no folder"):
            RunWriter.create(nothing, {})


def test_the_folders_above_a_run_are_synced(tmp_path, monkeypatch):
    synced = []
    plain = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), plain(file)))
    RunWriter.create(tmp_path / "a" / "b" / "run", {})
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "run"):
        assert str(folder) in synced
