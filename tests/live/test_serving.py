"""`phiscope.view`: its address, its end, its refusals, and the page in a notebook."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from html import unescape
from pathlib import Path

import pytest

import phiscope
from asked import Listening, ask
from phiscope.cli.main import run_command
from phiscope.errors import InputError, MissingDependencyError, UnknownNameError
from phiscope.live import serving, view


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def test_a_view_ends_without_a_thread_left(kept: Path) -> None:
    before = set(threading.enumerate())
    with phiscope.view(kept) as shown:
        assert ask(shown.url).code == 200
        assert ask(shown.url, "/page?run=alpha").code == 200
        assert shown.url in repr(shown)
        # An open page does not hold it up.
        stream = Listening(shown.url, "/list-events")
        stream.next()
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionError):
        ask(shown.url)
    stream.close()
    shown.close()
    assert repr(shown).endswith(": closed")


def test_two_views_at_once(kept: Path) -> None:
    with phiscope.view(kept) as one, phiscope.view(str(kept / "alpha")) as other:
        assert one.url != other.url
        assert "sweep" in ask(one.url).text
        assert ask(other.url, "/page?run=.").code == 200


def test_nobody_else_can_connect(kept: Path) -> None:
    with phiscope.view(kept) as shown:
        bound = shown._socket.getsockname()
        assert bound[0] == "127.0.0.1"
        assert shown.url == f"http://127.0.0.1:{bound[1]}/"


def test_a_chosen_port_and_a_taken_one(kept: Path) -> None:
    port = free_port()
    with phiscope.view(kept, port) as shown:
        assert shown.url.endswith(f":{port}/")
        with pytest.raises(InputError, match=f"port {port} is taken; choose another"):
            phiscope.view(kept, port)
    with phiscope.view(kept, port) as shown:
        assert ask(shown.url).code == 200


@pytest.mark.parametrize("port", [0, -1, 65536, True, 8000.0, "8000"])
def test_impossible_ports(kept: Path, port: object) -> None:
    with pytest.raises(InputError, match="expected a number from 1 to 65535"):
        view(kept, port)  # type: ignore[arg-type]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*nothing to view"):
        phiscope.view(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no folder"):
        phiscope.view(tmp_path / "file")


@pytest.mark.parametrize(("name", "package"), [("starlette", "starlette"), ("uvicorn", "uvicorn"), ("PIL", "pillow")])
def test_a_missing_library_is_named_with_the_command(
    kept: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'phiscope\[view\]'"):
        phiscope.view(kept)


def test_an_empty_folder_and_one_that_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with phiscope.view(tmp_path / "runs") as shown:
        assert "No run is here yet" in ask(shown.url).text
        assert "There is no run to show yet" in shown.page()._repr_html_()
        assert "0 runs" in unescape(shown._repr_html_())
        shutil.rmtree(tmp_path / "runs")
        assert ask(shown.url).code == 200


def pages(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r'srcdoc="([^"]*)"', html)]


def test_a_notebook_gets_the_page_itself(root: Path) -> None:
    (root / "beta" / "scalars.jsonl").touch()
    with phiscope.view(root) as shown:
        bundle = shown._repr_mimebundle_()
        assert bundle["text/plain"] == repr(shown)
        table, page = pages(bundle["text/html"])
        assert "sweep/lr 0.1" in table
        assert "<title>synthetic beta" in page
        address = shown.url.removeprefix("http://").rstrip("/")
        assert not [text for text in (table, page) if address in text or "EventSource" in page]
        (both,) = pages(shown.page("alpha", "beta")._repr_html_())
        assert '<div id="verdicts" class="several' in both
        with pytest.raises(UnknownNameError):
            shown.page("nothing")
    with phiscope.view(root / "alpha") as shown:
        (page,) = pages(shown._repr_html_())
        assert "<title>synthetic alpha" in page


def test_a_server_that_does_not_start_is_said(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "STARTED_WITHIN", 0.0)
    monkeypatch.setattr(serving.View, "_serve", lambda self: None)
    with pytest.raises(InputError, match="did not start"):
        phiscope.view(kept)


def test_ctrl_c_ends_the_command(kept: Path) -> None:
    command = [sys.executable, "-m", "phiscope", "view", str(kept)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        line = running.stdout.readline()
        url = re.fullmatch(r"view: (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
        assert url, line
        assert ask(url[1]).code == 200
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=30)
    finally:
        running.kill()
    assert (running.returncode, said) == (130, "phiscope: stopped\n")


def test_a_program_that_forgets_to_close_ends_all_the_same(kept: Path) -> None:
    code = f"import phiscope, urllib.request; v = phiscope.view({str(kept)!r}); urllib.request.urlopen(v.url).read()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["view", "nothing"], "there is no folder nothing to view"),
        (["view"], "required: RUNS"),
        (["view", "runs", "--port", "0"], "--port"),
        (["view", ".", "--port", "70000"], "expected a number from 1 to 65535"),
    ],
)
def test_wrong_use_of_the_command(capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    assert run_command(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
