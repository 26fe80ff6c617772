"""What the commands print: definitions and comparisons as plain text."""

import math

import numpy as np

import phiscope
from phiscope.cli.main import run_command
from phiscope.metrics import DEFINITIONS
from phiscope.runs import RunWriter, open_run
from small_runs import written_run


def test_explain_prints_the_definition_row(capsys):
    assert run_command(["explain", "dynamical_low_rank"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    row = DEFINITIONS["dynamical_low_rank"]
    for fact in (row.title, row.equation, row.range, row.direction, row.source, row.meaning, row.caveat):
        assert fact in text
    assert f"invariant {row.invariance_text}" in text
    assert 'read it m["dynamical_low_rank"]' in text
    assert "dynamical_low_rank_centered" in text


def test_explain_takes_symbols_and_words(capsys):
    for word, start in (
        ("D_LR", "dynamical_low_rank: "),
        ("Pi*(k)", "cumulative_quality: "),
        ("cliff", "cliff: a word"),
    ):
        assert run_command(["explain", word]) == 0
        assert capsys.readouterr().out.startswith(start)
    # Several words need no quotes.
    assert run_command(["explain", "cannot", "be", "told"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("cannot be told: a word")
    assert "read it m.evidence.sentence()" in text


def test_explain_of_a_number_without_invariances_says_so(capsys):
    assert run_command(["explain", "parameter_distance"]) == 0
    assert "invariant  to none of: orthogonal, permutation" in capsys.readouterr().out


def test_explain_alone_lists_every_number(capsys):
    assert run_command(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(DEFINITIONS)]] == list(DEFINITIONS)
    assert all(row.symbol in line and row.title in line for line, row in zip(lines, DEFINITIONS.values(), strict=False))
    assert lines[-1].startswith("words: minimal, extended")


def test_every_definition_can_be_explained(capsys):
    for name in DEFINITIONS:
        assert run_command(["explain", name]) == 0
        assert capsys.readouterr().out.startswith(f"{name}: ")


def test_compare_prints_final_numbers_of_each_split(capsys, tmp_path):
    a, b = written_run(tmp_path / "a", "same"), written_run(tmp_path / "b", "same", seed=1, epochs=3)
    assert run_command(["compare", str(a), str(b)]) == 0
    lines = capsys.readouterr().out.splitlines()
    last = open_run(b).records[-1]
    row = next(line.split() for line in lines if line.startswith("nc1 "))
    assert row[2] == f"{last.numbers('train')['nc1']:.4g}"
    assert [line.split()[1:] for line in lines if line.startswith("epoch")] == [["1", "2"]] * 3
    assert [line.split()[1:] for line in lines if line.startswith("test_accuracy")] == [["0.5", "0.625"]]
    assert lines[0].split() == ["recorded", str(a), str(b)]  # one name for both: their folders tell them apart
    assert len({len(line) for line in lines[2:5]}) == 1  # aligned


def test_compare_shows_a_dash_for_what_a_run_has_not(capsys, tmp_path):
    a = written_run(tmp_path / "a", "first")
    writer = RunWriter.create(tmp_path / "b", {"name": "second"})
    m = phiscope.diagonalize(np.random.default_rng(0).normal(size=(30, 4)))
    writer.append(0, None, {"loss": math.nan}, {"probe": m})
    assert run_command(["compare", str(a), str(tmp_path / "b")]) == 0
    text = capsys.readouterr().out
    blocks = {block.split()[0]: block for block in text.split("\n\n")}
    assert list(blocks) == ["recorded", "train", "test", "probe", "The"]
    assert "The runs share no split" in text
    rows = {line.split()[0]: line.split()[1:] for line in blocks["recorded"].splitlines()[2:]}
    assert rows["loss"] == ["-", "nan"]
    assert rows["test_accuracy"] == ["0.5", "-"]
    assert blocks["train"].splitlines()[2].split() == ["epoch", "1", "-"]
