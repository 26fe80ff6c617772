"""The desk: no job is lost to Ctrl-C or to another's failure, and no thread is left."""

import os
import signal
import threading
import time

import pytest

from phiscope.errors import InputError, RunWriteError
from phiscope.observe.desk import Background, Inline, _Job, desk_for


def full():
    raise RunWriteError("run/scalars.jsonl cannot be written (No space left on device)", path="x", reason="full")


def broken():
    raise ZeroDivisionError


def test_a_failed_job_drops_nothing_else():
    desk, done = Background(), []
    desk.do(full)
    with pytest.raises(RunWriteError):
        desk.do(lambda: done.append(1))  # raised after this one was handed over
    desk.do(lambda: done.append(2))
    desk.close()
    assert done == [1, 2]


def test_an_error_of_the_last_job_comes_with_the_end_and_once():
    desk = Background()
    desk.do(broken)
    with pytest.raises(ZeroDivisionError):
        desk.wait()
    desk.close()


def finished(desk, job):
    desk.do(job)
    desk.wait()


@pytest.mark.parametrize("kind", [Inline, Background])
def test_a_full_disk_can_be_said_instead_of_raised_and_nothing_else_can(kind):
    desk, done = kind("warn"), []
    with pytest.warns(UserWarning, match=r"No space left on device\); this record is not stored"):
        finished(desk, full)
    desk.do(lambda: done.append(1))
    with pytest.warns(UserWarning, match="No space left"):
        desk.now(full)
    with pytest.raises(ZeroDivisionError):
        finished(desk, broken)
    desk.close()
    assert done == [1]
    with pytest.raises(InputError, match="'raise' or 'warn'"):
        desk_for(False, "ignore")  # type: ignore[arg-type]


def test_control_c_in_the_wait_forgets_no_job():
    desk, done = Background(), []
    desk.do(lambda: (time.sleep(1.0), done.append(1)))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        desk.do(lambda: done.append(2))
    timer.join()
    assert done == []
    desk.close()
    assert done == [1]


def test_control_c_before_a_job_was_handed_over_forgets_none(monkeypatch):
    desk, done = Background(), []
    with monkeypatch.context() as patched:
        patched.setattr(Background, "_pool", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.do(lambda: done.append(1))
    desk.close()
    assert done == [1]


def interrupted(self):
    raise KeyboardInterrupt


def test_a_job_handed_over_twice_is_done_once():
    desk, done = Background(), []
    for number in range(20):
        desk.do(lambda number=number: done.append(number))
        desk.wait()
    desk.close()
    assert done == list(range(20))


def test_no_thread_is_left():
    before = threading.enumerate()
    desk = Background()
    desk.do(lambda: None)
    assert len(threading.enumerate()) == len(before) + 1
    desk.close()
    assert threading.enumerate() == before
    desk.do(lambda: None)  # the desk can be used again
    desk.close()


def test_a_job_that_two_threads_are_given_is_done_once():
    done = []
    job = _Job(lambda: (time.sleep(0.2), done.append(1)))
    threads = [threading.Thread(target=job) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        assert done == [1]
