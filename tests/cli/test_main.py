"""The command line: what it prints, its exit codes, and one clear sentence for every wrong use."""

import json
import os
import signal
import subprocess
import sys
import time
import types
from functools import partial

import numpy as np
import pytest
import torch

import phiscope
from phiscope.cli.main import COMMANDS, run_command
from phiscope.errors import UnknownNameError
from phiscope.runs import open_run
from phiscope.studies import STUDIES
from saved_trainings import states
from small_runs import written_run


@pytest.fixture
def arrays(tmp_path):
    """Files of features, outputs and targets, and the arrays themselves."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 6))
    made = {"f": features, "o": features @ rng.normal(size=(6, 3)), "y": np.arange(60) % 3}
    for name, array in made.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path, made


def refused(capsys, *arguments):
    """The one sentence on stderr of a command that was refused."""
    assert run_command(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert printed.err.startswith("phiscope: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(capsys, command):
    assert run_command([command, "--help"]) == 0
    assert f"Examples:\n  phiscope {command}" in capsys.readouterr().out


def test_help_names_every_command(capsys):
    assert run_command(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"    {command} " in text for command in COMMANDS)
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"phiscope {phiscope.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name a command: studies, run,"),
        (["raport"], "there is no command named 'raport'; did you mean report?"),
        (["run"], "required: STUDY"),
        (["run", "digits-cnn", "--epochs", "0"], "--epochs"),
        (["run", "digits-cnn", "--seed", "-1"], "--seed"),
        (["run", "digits-cnn", "--sed", "1"], "unrecognized arguments: --sed"),
        (["measure", "--features", "a.npy", "b.npy"], "b.npy; a pattern that matches several files needs quotes"),
        (["measure", "--features", "f.npy", "--head", "nothing.npy"], "there is no file"),
        (["run", "digits-cnn", "--config", "nothing.yaml"], "does not exist"),
        (["measure"], "required: --features"),
        (["measure", "f.npy"], "files by name, as in: phiscope measure --features f.npy"),
        (["measure", "--features", "x.npy", "--rank-tolerance", "0"], "--rank-tolerance"),
        (["measure", "--features", "x.npy", "--k", "0"], "--k"),
        (["measure", "--features", "x.npy", "--precision", "half"], "--precision"),
        (["measure", "--features", "nothing.npy"], "features: there is no file nothing.npy"),
        (["compare", "one"], "at least two runs"),
        (["compare", "one", "two"], "there is no run at one"),
        (["report", "nothing"], "there is no run at nothing"),
        (["explain", "dynamical_low_rnk"], "did you mean dynamical_low_rank"),
        (["explain", "Pi"], "'Pi' may mean cumulative_quality (cumulative quality, Π*(k)), cumulative_utilization"),
        (["explain", "nothing", "like", "it"], "there is no number named 'nothing like it'"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(capsys, arguments, sentence):
    assert sentence in refused(capsys, *arguments)


def test_measure_agrees_with_the_library(capsys, arrays):
    folder, made = arrays
    names = ["--features", "f.npy", "--outputs", "o.npy", "--targets", "y.npy"]
    arguments = [str(folder / word) if word.endswith(".npy") else word for word in names]
    expected = phiscope.diagonalize(made["f"], made["o"], targets=made["y"])
    assert run_command(["measure", *arguments]) == 0
    assert capsys.readouterr().out == f"{expected}\n"
    assert run_command(["measure", *arguments, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(word))
    assert facts["numbers"] == expected.to_dict()
    assert facts["regime"] == expected.regime
    assert facts["spectra"]["centered"]["quality"] == expected.centered.quality.tolist()
    assert (facts["n_samples"], facts["n_features"], facts["n_outputs"]) == (60, 6, 3)


@pytest.mark.parametrize("p", [6, 2100])
def test_measure_of_the_leading_eigenfunctions(capsys, tmp_path, p):
    """Wide features are read several times, narrow ones diagonalized as always and cut; both as the library does."""
    rng = np.random.default_rng(3)
    features = rng.standard_normal((200, p)) / np.arange(1, p + 1)
    made = {
        "features": features,
        "outputs": features[:, :3] @ rng.standard_normal((3, 2)),
        "targets": np.arange(200) % 2,
    }
    arguments = []
    for name, array in made.items():
        np.save(tmp_path / f"{name}.npy", array)
        arguments += [f"--{name}", str(tmp_path / f"{name}.npy")]
    assert run_command(["measure", *arguments, "--k", "3", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    expected = phiscope.diagonalize(**made, k=3)
    assert facts["spectra"]["centered"]["eigenvalues"] == pytest.approx(expected.centered.eigenvalues, rel=1e-9)
    assert facts["numbers"]["dynamical_low_rank"] == pytest.approx(expected["dynamical_low_rank"], rel=1e-9)
    assert ("effective_dimension" in facts["numbers"]) == (p == 6)
    assert len(facts["spectra"]["raw"]["eigenvalues"]) == 3


def test_measure_in_float32_says_so(capsys, arrays):
    folder, made = arrays
    assert run_command(["measure", "--features", str(folder / "f.npy"), "--precision", "fast", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["provenance"]["products"].startswith("float32")
    expected = phiscope.diagonalize(made["f"])["effective_dimension"]
    assert facts["numbers"]["effective_dimension"] == pytest.approx(expected, rel=1e-4)


def test_measure_without_outputs_has_no_quality_and_says_why(capsys, arrays):
    folder, _ = arrays
    assert run_command(["measure", "--features", str(folder / "f.npy"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "dynamical_low_rank" not in facts["numbers"]
    assert facts["absent"]["dynamical_low_rank"]
    assert "quality" not in facts["spectra"]["raw"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int32, np.uint8])
def test_measure_reads_every_kind_of_number(capsys, tmp_path, dtype):
    features = np.random.default_rng(1).integers(0, 9, size=(50, 4))
    np.save(tmp_path / "f.npy", features.astype(dtype))
    assert run_command(["measure", "--features", str(tmp_path / "f.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["numbers"]["effective_dimension"]
    # Small whole numbers are exact in every one of these dtypes, so only the solver's rounding is left.
    assert found == pytest.approx(phiscope.diagonalize(features.astype(float))["effective_dimension"], rel=1e-12)


def _bad_files(folder):
    good = np.random.default_rng(0).normal(size=(20, 3))
    np.save(folder / "good.npy", good)
    np.save(folder / "nan.npy", np.where(np.arange(60).reshape(20, 3) == 7, np.nan, good))
    np.save(folder / "empty.npy", np.empty((0, 3)))
    np.save(folder / "one.npy", good[:1])
    np.save(folder / "short.npy", good[:19])
    np.save(folder / "text.npy", np.array(["a", "b"]))
    np.save(folder / "objects.npy", np.array([{}, None], dtype=object), allow_pickle=True)
    np.savez(folder / "zipped.npy.npz", good)
    (folder / "zipped.npy.npz").rename(folder / "zipped.npy")
    (folder / "torn.npy").write_bytes((folder / "good.npy").read_bytes()[:200])
    (folder / "nothing.npy").write_bytes(b"")
    (folder / "classes.npy").write_bytes((folder / "good.npy").read_bytes())
    np.save(folder / "negative.npy", np.full(20, -3))


@pytest.mark.parametrize(
    ("features", "more", "sentence"),
    [
        ("nan.npy", [], "NaN"),
        ("empty.npy", [], "sample"),
        ("one.npy", [], "sample"),
        ("text.npy", [], "dtype"),
        ("objects.npy", [], "Python objects"),
        ("zipped.npy", [], "not a .npy file"),
        ("torn.npy", [], "cut short"),
        ("nothing.npy", [], "not a .npy file"),
        ("good.npy", ["--outputs", "short.npy"], "19"),
        ("good.npy", ["--targets", "short.npy"], "19"),
        ("good.npy", ["--targets", "negative.npy"], "-3"),
    ],
)
def test_measure_refuses_unusable_files_with_one_sentence(capsys, tmp_path, features, more, sentence):
    _bad_files(tmp_path)
    paths = [str(tmp_path / word) if word.endswith(".npy") else word for word in more]
    assert sentence in refused(capsys, "measure", "--features", str(tmp_path / features), *paths)
    assert run_command(["measure", "--features", str(tmp_path / "good.npy")]) == 0  # the control


def test_compare_tells_of_a_torn_run_on_stderr(capsys, tmp_path):
    a = written_run(tmp_path / "a", "first")
    with open(a / "scalars.jsonl", "a") as file:
        file.write('{"index": 2, "ep')
    assert run_command(["compare", str(a), str(a)]) == 0
    assert "torn" in capsys.readouterr().err


def stand_in_studies(monkeypatch, outcome):
    """Replace the studies by one that does what ``outcome`` does, without training."""
    studies = types.SimpleNamespace(
        STUDIES={"tiny": types.SimpleNamespace(title="a tiny study")},
        run_study=lambda name, **options: outcome(name, options),
    )
    monkeypatch.setitem(sys.modules, "phiscope.studies", studies)


def test_run_hands_its_options_on_and_prints_run_and_page(capsys, tmp_path, monkeypatch):
    asked = []

    def outcome(name, options):
        asked.append((name, options))
        return written_run(tmp_path / "tiny-seed3", name)

    stand_in_studies(monkeypatch, outcome)
    assert run_command(["run", "tiny", "--epochs", "7", "--seed", "3", "--out", str(tmp_path)]) == 0
    assert asked == [("tiny", {"out": str(tmp_path), "epochs": 7, "seed": 3, "progress": True})]
    run_line, page_line = capsys.readouterr().out.splitlines()
    assert run_line == f"run: {tmp_path / 'tiny-seed3'}"
    assert page_line == f"page: {tmp_path / 'tiny-seed3' / 'report.html'}"
    assert (tmp_path / "tiny-seed3" / "report.html").read_text().lstrip().startswith("<!")


def test_run_reads_options_from_a_file_and_the_command_line_wins(tmp_path, monkeypatch, capsys):
    asked = []

    def outcome(name, options):
        asked.append((options["epochs"], options["seed"]))
        return written_run(tmp_path / "run", name)

    stand_in_studies(monkeypatch, outcome)
    (tmp_path / "my.yaml").write_text("epochs: 4\nseed: 9\n")
    assert run_command(["run", "tiny", "--config", str(tmp_path / "my.yaml"), "--seed", "2"]) == 0
    assert asked == [(4, 2)]


def test_an_interrupted_run_keeps_its_page_and_exits_130(capsys, tmp_path, monkeypatch):
    stand_in_studies(monkeypatch, lambda name, _: written_run(tmp_path / "run", name, status="interrupted"))
    assert run_command(["run", "tiny"]) == 130
    assert f"page: {tmp_path / 'run' / 'report.html'}" in capsys.readouterr().out
    assert (tmp_path / "run" / "report.html").exists()


def test_ctrl_c_anywhere_else_exits_130_without_a_traceback(capsys, monkeypatch):
    def outcome(name, options):
        raise KeyboardInterrupt

    stand_in_studies(monkeypatch, outcome)
    assert run_command(["run", "tiny"]) == 130
    assert capsys.readouterr().err == "phiscope: stopped\n"


def test_an_unknown_study_offers_the_nearest(capsys, monkeypatch):
    def outcome(name, options):
        raise UnknownNameError("study", name, ["digits-cnn"])

    stand_in_studies(monkeypatch, outcome)
    assert "did you mean digits-cnn?" in refused(capsys, "run", "digit-cnn")


class LibraryError(OSError):
    """Like jinja2's TemplateNotFound: an OSError that the operating system knows nothing of."""


@pytest.mark.parametrize("fault", [ZeroDivisionError, LibraryError, AssertionError])
def test_our_own_fault_shows_where_and_exits_1(capsys, monkeypatch, fault):
    def outcome(name, options):
        raise fault("ours")

    stand_in_studies(monkeypatch, outcome)
    assert run_command(["run", "tiny"]) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert f"{fault.__name__}: ours" in printed
    assert "please report it" in printed


def test_studies_lists_one_line_each(capsys):
    assert run_command(["studies"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)
    assert all(line.endswith(study.title) for line, study in zip(lines, STUDIES.values(), strict=True))


def test_report_writes_the_page_where_told(capsys, tmp_path):
    a, b = written_run(tmp_path / "a", "first"), written_run(tmp_path / "b", "second", seed=1)
    page = tmp_path / "both.html"
    assert run_command(["report", str(a), str(b), "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"page: {page}\n"
    assert "first" in page.read_text()
    assert "second" in page.read_text()


def test_figure_prints_its_path_and_caption(capsys, tmp_path):
    run = written_run(tmp_path / "mine", "mine")
    assert run_command(["figure", str(run), "why", "-o", str(tmp_path / "why.svg"), "--columns", "1"]) == 0
    assert run_command(["figure", str(run), "why", "-o", str(tmp_path / "new" / "why.svg")]) == 0
    assert run_command(["report", str(run), "-o", str(tmp_path / "newer" / "why.html")]) == 0
    printed = capsys.readouterr().out
    assert f"figure: {tmp_path / 'why.svg'}\n" in printed
    assert "caption: " in printed
    assert (tmp_path / "why.svg").read_text().startswith("<?xml")
    assert run_command(["figure", str(run), "why", "-o", str(tmp_path / "why.gif"), "--moving"]) == 0
    assert (tmp_path / "why.gif").read_bytes().startswith(b"GIF8")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["-o", "a.gif"], "add --moving"),
        (["-o", "a.pdf", "--k", "1"], "no pair of eigenfunctions"),
        (["-o", "a.docx"], "no format that matplotlib writes"),
        (["-o", "a.pdf", "--moving"], "no animated format"),
        (["-o", "a.pdf", "--split", "nowhere"], "nowhere"),
    ],
)
def test_figure_refuses_in_one_sentence(capsys, tmp_path, monkeypatch, more, sentence):
    monkeypatch.chdir(tmp_path)
    run = written_run(tmp_path / "mine", "mine")
    assert sentence in refused(capsys, "figure", str(run), "spectrum", *more)


def test_a_page_that_cannot_be_written_is_one_sentence(capsys, tmp_path):
    run = written_run(tmp_path / "a", "first")
    (tmp_path / "file").write_text("")
    assert "file" in refused(capsys, "report", str(run), "-o", str(tmp_path / "file" / "page.html"))


def shell(*arguments, **environment):
    command = [sys.executable, "-m", "phiscope", *arguments]
    return subprocess.run(command, capture_output=True, check=False, env={**os.environ, **environment})


def test_a_terminal_without_unicode_gets_question_marks_not_a_crash():
    done = shell("explain", "dynamical_low_rank", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert b"?" in done.stdout
    assert done.stderr == b""


def test_a_reader_that_goes_away_is_no_error():
    first = subprocess.Popen(
        [sys.executable, "-m", "phiscope", "explain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()  # gone before the first line
    errors = first.stderr.read()
    first.stderr.close()
    assert first.wait() == 0
    assert errors == b""


def test_exit_code_reaches_the_shell():
    done = shell("explain", "no_such_number")
    assert done.returncode == 2
    assert done.stderr.startswith(b"phiscope: there is no number named 'no_such_number'")


def test_a_real_study_through_the_shell(tmp_path):
    done = shell("run", "diabetes-mlp", "--epochs", "2", "--seed", "1", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    run_line, page_line = done.stdout.decode().splitlines()
    run = open_run(run_line.removeprefix("run: "))
    assert run.status == "completed"
    assert run.records[-1].epoch == 2
    assert os.path.getsize(page_line.removeprefix("page: ")) > 100_000


@pytest.mark.timeout(120)
@pytest.mark.slow
def test_ctrl_c_in_a_real_study_keeps_run_and_page(tmp_path):
    command = [sys.executable, "-m", "phiscope", "run", "diabetes-mlp", "--epochs", "100000", "--out", str(tmp_path)]
    # A shell that runs the tests in the background lets its children ignore Ctrl-C.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    lines = tmp_path / "diabetes-mlp-seed0" / "scalars.jsonl"
    while child.poll() is None and not (lines.exists() and lines.read_text().count("\n") >= 3):
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    printed, errors = child.communicate()
    assert child.returncode == 130, errors
    assert "Traceback" not in errors
    run = open_run(lines.parent)
    assert run.status == "interrupted"
    assert len(run.records) >= 3
    assert printed.splitlines() == [f"run: {lines.parent}", f"page: {lines.parent / 'report.html'}"]
    assert (lines.parent / "report.html").exists()


@pytest.fixture
def checkpoints(tmp_path):
    """Saved states of a training, as patterns of the command line name them."""
    for epoch, state in enumerate(states(3)):
        torch.save({"epoch": epoch, "model": state}, tmp_path / f"{epoch}.pt")
    return str(tmp_path / "*.pt")


REPLAY = ("--data", "saved_trainings:made_data", "--quiet", "--out")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_replay_makes_a_run_of_checkpoints(tmp_path, capsys, checkpoints, jobs):
    run = str(tmp_path / "r")
    assert run_command(["replay", "saved_trainings:made_net", checkpoints, *REPLAY, run, "--jobs", jobs]) == 0
    assert capsys.readouterr().out == f"run: {run} (3 records)\n"
    assert [record.epoch for record in open_run(run).records] == [0.0, 1.0, 2.0]
    assert list(open_run(run).splits) == ["train", "test"]


def test_replay_refuses_in_one_sentence(tmp_path, capsys, checkpoints):
    run = str(tmp_path / "r")
    assert "no checkpoint matches" in refused(capsys, "replay", "saved_trainings:made_net", "no*.pt", *REPLAY, run)
    assert "cannot be imported" in refused(capsys, "replay", "nowhere:net", checkpoints, *REPLAY, run)
    assert "MODEL is named module:function" in refused(capsys, "replay", "saved_trainings", checkpoints, *REPLAY, run)
    assert "--data" in refused(capsys, "replay", "saved_trainings:made_net", checkpoints, "--out", run)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "digits-cnn", "--epochs", "-1"), "--epochs: -1 came, expected a whole number from 1 up"),
        (("run", "digits-cnn", "--epochs", "x"), "--epochs: x came, expected a whole number from 1 up"),
        (("run", "digits-cnn", "--seed", "-3"), "--seed: -3 came, expected a whole number from 0 up"),
        (("measure", "--features", "f.npy", "--k", "0"), "--k: 0 came, expected a whole number from 1 up"),
        (
            ("measure", "--features", "f.npy", "--rank-tolerance", "a b"),
            "--rank-tolerance: a b came, expected a number above",
        ),
        (("figure", "run", "spectrum", "--epoch", "x"), "--epoch: x came, expected a number"),
        (("view", "runs", "--port", "0"), "--port: 0 came, expected a whole number from 1 up"),
        (
            ("replay", "a:b", "c.pt", "--data", "d:e", "--out", "o", "--jobs", "1.5"),
            "--jobs: 1.5 came, expected a whole",
        ),
        (("reproduce", "--seeds", "0"), "--seeds: 0 came, expected a whole number from 1 up"),
        (("reproduce", "--scale", "tiny"), "--scale: tiny came, expected one of 'small', 'medium', 'full'"),
        (("figure", "run", "spectrum", "--columns", "3"), "--columns: 3 came, expected one of 1, 2"),
        (
            ("measure", "--features", "f.npy", "--precision", "low"),
            "--precision: low came, expected one of 'exact', 'fast'",
        ),
    ],
)
def test_a_number_that_is_none_is_refused_without_the_parsers_words(capsys, arguments, said):
    err = refused(capsys, *arguments)
    assert said in err
    assert not any(
        word in err for word in ("Int", "Float", "class", "restriction", "iteral", "convert", "choice", "choose")
    )


def test_a_page_that_cannot_be_where_it_is_asked_for(capsys, tmp_path):
    """It named a file of its own, that nobody had heard of."""
    run, page = str(written_run(tmp_path / "run", "mine")), tmp_path / "file"
    page.write_text("here")
    assert f"{tmp_path} is a folder; expected the file to write" in refused(capsys, "report", run, "-o", str(tmp_path))
    below = refused(capsys, "report", run, "-o", str(page / "deep" / "page.html"))
    assert f"cannot be written: {page} is a file" in below
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


def test_where_there_is_no_run_it_is_said_what_is_there(capsys, tmp_path):
    run = written_run(tmp_path / "runs" / "mine", "mine")
    (tmp_path / "file").write_text("here")
    (tmp_path / "empty").mkdir()
    for command in (("report",), ("figure",)):
        more = ("spectrum",) if command == ("figure",) else ()
        assert "it is no folder" in refused(capsys, *command, str(tmp_path / "file"), *more)
        assert refused(capsys, *command, str(tmp_path / "empty"), *more).endswith("it has no header.json\n")
        assert f"a run that is in it: {run}" in refused(capsys, *command, str(tmp_path / "runs"), *more)


def test_what_is_left_out_of_a_damaged_run_is_said_beside_its_picture(capsys, tmp_path):
    """An earlier record was drawn in silence; where none can be read, nothing had been measured."""
    pytest.importorskip("matplotlib")
    run = written_run(tmp_path / "run", "mine")
    files = sorted((tmp_path / "run" / "records").iterdir())
    for path in files:
        if path.name.startswith("000001"):
            path.write_bytes(b"garbage")
    picture = str(tmp_path / "figure.pdf")
    for arguments in (
        ("figure", str(run), "spectrum", "-o", picture),
        ("report", str(run), "-o", str(tmp_path / "p.html")),
    ):
        assert run_command(arguments) == 0
        assert "is left out" in capsys.readouterr().err
    files[0].write_bytes(b"garbage")
    err = refused(capsys, "figure", str(run), "spectrum", "-o", picture)
    assert "nothing was measured in the run" in err
    assert "or it cannot be read: record 0 is left out" in err
