"""Bars: shown to who watches, and nothing at all otherwise."""

import threading

import pytest
from tqdm import tqdm

from phiscope.inputs.progress import Quiet, bar_of


def test_a_bar_that_nobody_sees_starts_no_thread(monkeypatch):
    started = []
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self))
    with bar_of(range(5), shown=False, total=5, desc="measuring") as bar:
        assert list(bar) == [0, 1, 2, 3, 4]
        bar.set_postfix_str("unseen")
        bar.update(2)
        assert bar.n == 2
    assert isinstance(bar, Quiet)
    assert started == []


def test_a_bar_that_is_asked_for_is_shown(capsys):
    with bar_of(range(3), shown=True, desc="measuring", leave=True) as bar:
        assert isinstance(bar, tqdm)
        assert sum(bar) == 3
    assert "measuring" in capsys.readouterr().err


@pytest.mark.parametrize("terminal", [True, False])
def test_left_to_itself_it_looks_for_a_terminal(monkeypatch, terminal):
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    with bar_of(shown=None, total=1, leave=False) as bar:
        assert isinstance(bar, Quiet) != terminal
