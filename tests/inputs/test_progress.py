"""A bar for those who watch, and for the others no line and no thread."""

import io
import sys

import pytest

from phiscope.inputs import progress
from phiscope.inputs.progress import Quiet, bar_of


@pytest.mark.parametrize("shown", [False, None])
def test_a_bar_that_nobody_sees_is_none(shown, capsys, monkeypatch):
    monkeypatch.setattr(progress, "tqdm", refuse)
    with bar_of(range(3), shown=shown, desc="rows") as bar:
        assert list(bar) == [0, 1, 2]
    with bar_of(shown=shown, total=3) as bar:
        bar.update(2)
        bar.update()
        bar.set_postfix_str("nothing")
        assert bar.n == 3
    bar.close()
    assert list(Quiet()) == []
    assert capsys.readouterr().err == ""


def refuse(*_, **__):
    raise AssertionError("tqdm starts a thread even for a bar that it does not show")


def test_a_bar_that_is_asked_for_is_shown():
    out = io.StringIO()
    with bar_of(range(3), shown=True, desc="rows", file=out) as bar:
        assert list(bar) == [0, 1, 2]
    assert "rows: 100%" in out.getvalue()


def test_without_a_word_the_terminal_decides(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with bar_of(range(2), shown=None, desc="rows") as bar:
        list(bar)
    assert "rows" in terminal.getvalue()
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert isinstance(bar_of(shown=None), Quiet)
