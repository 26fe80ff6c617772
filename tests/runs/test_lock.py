"""One writer for each run: who holds the lock, what releases it, and what happens where locks do not work."""

import errno
import os
import subprocess
import sys
import time

import pytest

from phiscope.errors import RunError, RunFormatError, RunLockedError, RunWriteError
from phiscope.runs import RunWriter, lock, open_run
from phiscope.runs.lock import LOCK, WriterLock


def test_a_second_writer_is_refused_and_told_which_process_writes(tmp_path):
    first = RunWriter.create(tmp_path / "run", {})
    first.append(0, 0, {}, {})
    with pytest.raises(RunLockedError, match="this process already") as caught:
        RunWriter.create(tmp_path / "run", {}, resume=True)
    assert "\n" not in str(caught.value)
    first.append(1, 1, {}, {})
    first.close()
    RunWriter.create(tmp_path / "run", {}, resume=True).append(2, 2, {}, {})
    assert [record.epoch for record in open_run(tmp_path / "run").records] == [0, 1, 2]


def test_a_writer_that_is_gone_holds_nothing(tmp_path):
    RunWriter.create(tmp_path / "run", {})
    again = RunWriter.create(tmp_path / "run", {}, resume=True)
    again.finish()
    with pytest.raises(RunError, match="has finished"):
        again.append(0, 0, {}, {})
    RunWriter.create(tmp_path / "run", {}, resume=True)


HOLD = """
import sys, time
from pathlib import Path
from phiscope.runs.lock import WriterLock
lock = WriterLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_another_process_is_named_and_its_kill_releases_the_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=f"process {child.pid} on "):
            WriterLock(tmp_path)
        child.kill()
        child.wait()
    WriterLock(tmp_path).release()


def test_a_forked_worker_does_not_keep_the_lock(tmp_path):
    # As a DataLoader's worker that outlives a killed training: it has copies of all open files.
    code = HOLD.replace('print("held", flush=True)\ntime.sleep(60)', "")
    code += "import os\nif os.fork() == 0:\n    print('forked', flush=True); time.sleep(60); os._exit(0)\nos._exit(0)\n"
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "forked\n"
        child.wait(20)
        WriterLock(tmp_path).release()  # the worker still sleeps
        assert time.monotonic() - started < 55
        holders = [int(p) for p in os.listdir("/proc") if p.isdecimal() and _runs(int(p), str(tmp_path))]
        for worker in holders:
            os.kill(worker, 9)


def _runs(process, folder):
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            return folder.encode() in file.read().split(b"\0")
    except OSError:
        return False


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_locks_do_not_work_nothing_is_cut_off_that_was_not_written_here(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    one = RunWriter.create(tmp_path / "run", {})
    one.append(0, 0, {"who": 1.0}, {})
    other = RunWriter.create(tmp_path / "run", {}, resume=True)
    one.append(1, 0, {"who": 1.0}, {})
    before = (tmp_path / "run" / "scalars.jsonl").read_bytes()
    with pytest.raises(RunLockedError, match="another process writes this run"):
        other.append(1, 0, {"who": 2.0}, {})
    assert (tmp_path / "run" / "scalars.jsonl").read_bytes() == before
    one.append(2, 0, {"who": 1.0}, {})
    assert [record.scalars["who"] for record in open_run(tmp_path / "run").records] == [1.0, 1.0, 1.0]


def test_another_answer_of_the_system_is_no_licence(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with pytest.raises(RunLockedError):
        WriterLock(tmp_path)


def test_a_lock_that_is_no_plain_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(RunFormatError, match="no regular file"):
        WriterLock(tmp_path)
    (tmp_path / LOCK).unlink()
    (tmp_path / "victim").write_text("keep me")
    (tmp_path / LOCK).symlink_to(tmp_path / "victim")
    with pytest.raises(RunWriteError):
        WriterLock(tmp_path)
    assert (tmp_path / "victim").read_text() == "keep me"


def test_a_lock_file_made_anew_is_noticed(tmp_path):
    held = WriterLock(tmp_path)
    assert held.is_in_place
    held.path.unlink()
    assert not held.is_in_place
    held.path.write_text("")
    assert not held.is_in_place
    held.release()
