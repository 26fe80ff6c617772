"""The command line: one short function a command; what it takes and what it says is written elsewhere."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentError, Namespace

import phiscope
from phiscope.cli.options import command_parser
from phiscope.errors import PhiscopeError, UnknownNameError

if TYPE_CHECKING:
    from phiscope.runs import Run

DONE, OUR_FAULT, WRONG_USE, STOPPED = 0, 1, 2, 130
"""Exit codes; 130 is what a shell reports for Ctrl-C."""

_WORDS = ("study", "run", "runs", "name", "picture", "model", "checkpoints")
"""What stands on the command line without a name of its own."""


_WANTED = {
    "PositiveInt": "a whole number from 1 up",
    "NonNegativeInt": "a whole number from 0 up",
    "PositiveFloat": "a number above 0",
    "float": "a number",
}
"""The parser's types of numbers in words."""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: what stands after ``phiscope`` on the command line.

    Returns:
        0 done, 2 wrong use or unusable input (one sentence on stderr), 130 stopped by Ctrl-C,
        1 a fault of phiscope's own (with its traceback).
    """
    _print_anywhere()
    try:
        return _run_command(list(arguments))
    except SystemExit as stop:  # --help and --version
        return stop.code if isinstance(stop.code, int) else OUR_FAULT
    except PhiscopeError as error:
        return _refuse(str(error))
    except ArgumentError as error:
        return _refuse(_as_typed(str(error)))
    except BrokenPipeError:
        # The reader went away, as in `phiscope explain | head`; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno is None:  # not the operating system's word: some library derives its own faults from OSError
            return _own_up()
        where = f": {error.filename}" if error.filename else ""
        return _refuse(f"{error.strerror}{where}")
    except MemoryError as error:
        return _refuse(
            f"memory ran out ({error or 'no more could be had'}); it takes several matrices of columns x columns: give "
            "--head instead of many --outputs, or see docs/guide/wide.md for the leading eigenfunctions of wide "
            "features"
        )
    except KeyboardInterrupt:
        print("phiscope: stopped", file=sys.stderr)
        return STOPPED
    except Exception:
        return _own_up()


def _run_command(arguments: list[str]) -> int:
    if not arguments:
        raise ArgumentError(None, f"name a command: {', '.join(COMMANDS)}; phiscope --help explains them")
    if not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        raise UnknownNameError("command", arguments[0], COMMANDS)
    if arguments[0] == "measure" and len(arguments) > 1 and not arguments[1].startswith("-"):
        raise ArgumentError(None, f"measure takes files by name, as in: phiscope measure --features {arguments[1]}")
    chosen = command_parser().parse_args(arguments)
    return COMMANDS[chosen.command](chosen[chosen.command])


def _refuse(sentence: str) -> int:
    print(f"phiscope: {' '.join(sentence.split())}", file=sys.stderr)
    return WRONG_USE


def _own_up() -> int:
    traceback.print_exc()
    print(
        f"phiscope: this is a fault of phiscope {phiscope.__version__}, not yours; please report it in the "
        "project's issue tracker with the lines above and the command you typed",
        file=sys.stderr,
    )
    return OUR_FAULT


def _as_typed(message: str) -> str:
    # The parser names its own keys ('Parser key "rank_tolerance"', "run.study"); people typed options and words.
    def typed(found: re.Match[str]) -> str:
        name = found[1]
        return name.upper() if name in _WORDS else f"--{name.replace('_', '-')}"

    def wanted(found: re.Match[str]) -> str:
        came = re.search(r"'([^']*)'$|^(\S+) does not conform|Got value: (.*)$", found[2])
        value = next(filter(None, came.groups()), "nothing") if came else found[2]
        return f"{value} came, expected {_WANTED[found[1]]}"

    if re.search(r"unrecognized arguments: [^-]", message):
        message += "; a pattern that matches several files needs quotes"
    message = re.sub(r"(?:Not of type |Expected a <class ')(\w+)(?:: |'>\. )(.*)$", wanted, message)
    message = re.sub(r'Parser key "(\w+)"', typed, message)
    message = re.sub(r"Expected a typing\.Literal\[(.*)\]\. Got value: (.*)$", r"\2 came, expected one of \1", message)
    message = re.sub(
        r"argument (\S+): invalid choice: '?(.*?)'? \(choose from (.*)\)$", r"\1: \2 came, expected one of \3", message
    )
    return re.sub(rf"\b(?:{'|'.join(COMMANDS)})\.(\w+)", typed, message)


def _print_anywhere() -> None:
    # Formulas are Unicode; a terminal that cannot show a letter gets a question mark, not a crash.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _studies(chosen: Namespace) -> int:
    from phiscope.cli.text import name_list
    from phiscope.glossary.words import stored

    print(name_list(stored().studies))
    return DONE


def _run(chosen: Namespace) -> int:
    from phiscope.page import report
    from phiscope.runs import open_run
    from phiscope.studies import run_study

    path = run_study(chosen.study, out=chosen.out, epochs=chosen.epochs, seed=chosen.seed, progress=True)
    print(f"run: {path}", flush=True)
    run = open_run(path)
    print(f"page: {report([run], path / 'report.html')}")
    return STOPPED if run.status == "interrupted" else DONE


def _measure(chosen: Namespace) -> int:
    from phiscope.cli.text import measurement_facts
    from phiscope.inputs.files import open_array, open_parts
    from phiscope.measurement.diagonalize import diagonalize_table
    from phiscope.moments.row_table import PARTS, RowTable

    if chosen.bias is not None and chosen.head is None:
        raise ArgumentError(None, "--bias belongs to --head, which is missing")
    if chosen.head is not None and chosen.outputs is not None:
        raise ArgumentError(None, "--outputs and --head both say what the outputs are; give one of the two")
    files = open_parts({name: chosen[name] for name in PARTS if chosen[name] is not None})
    head = [None if chosen[name] is None else open_array(chosen[name], name=name) for name in ("head", "bias")]
    measurement = diagonalize_table(
        RowTable(files, progress=False if chosen.quiet or chosen.json else None),
        None if chosen.head is None else head,
        rank_tolerance=chosen.rank_tolerance,
        k=chosen.k,
        precision=chosen.precision,
    )
    if chosen.json:
        print(json.dumps(measurement_facts(measurement), allow_nan=False, ensure_ascii=False))
    else:
        print(measurement)
    return DONE


def _report(chosen: Namespace) -> int:
    from phiscope.page import report
    from phiscope.runs import open_run

    runs = [open_run(path) for path in chosen.runs]
    print(f"page: {report(runs, Path(chosen.output))}")
    _say_warnings(runs)
    return DONE


def _say_warnings(runs: Sequence[Run]) -> None:
    """What is left out of a damaged run, which a picture or a table does not show."""
    for run in runs:
        for warning in run.warnings:
            print(f"phiscope: {run.path}: {warning}", file=sys.stderr)


def _figure(chosen: Namespace) -> int:
    from phiscope.figures.paper.animation import animated
    from phiscope.runs import open_run

    try:
        first, second = (int(place) for place in chosen.k.split(","))
    except ValueError:
        raise ArgumentError(None, f"--k {chosen.k!r} is no pair of eigenfunctions, as in --k 2,3") from None
    run = open_run(chosen.run)
    target = Path(chosen.output)
    if chosen.moving:
        print(f"figure: {animated(run, chosen.picture, target, split=chosen.split, columns=chosen.columns)}")
        _say_warnings([run])
        return DONE
    if target.suffix.lower() in (".gif", ".apng"):
        # matplotlib would write a gif of one frame, and whoever asks for one expects it to move.
        raise ArgumentError(None, f"{target.name} is for a picture that moves: add --moving, or let it end in .png")
    figure = run.figure(chosen.picture, epoch=chosen.epoch, split=chosen.split, k=(first, second))
    print(f"figure: {figure.save(target, columns=chosen.columns)}")
    print(f"caption: {figure.caption}")
    _say_warnings([run])
    return DONE


def _compare(chosen: Namespace) -> int:
    from phiscope.cli.comparing import comparison_text
    from phiscope.runs import open_run

    if len(chosen.runs) < 2:
        raise ArgumentError(None, "compare needs at least two runs, as in: phiscope compare runs/a runs/b")
    runs = [open_run(path) for path in chosen.runs]
    print(comparison_text(runs))
    _say_warnings(runs)
    return DONE


def _view(chosen: Namespace) -> int:
    from phiscope.live import view

    with view(chosen.runs, chosen.port) as shown:
        print(f"view: {shown.url} (Ctrl-C ends it)", flush=True)
        shown.wait()
    return DONE


def _explain(chosen: Namespace) -> int:
    from phiscope.cli.text import all_words, explanation
    from phiscope.glossary.words import stored

    print(all_words(stored()) if not chosen.name else explanation(" ".join(chosen.name), stored()))
    return DONE


def _replay(chosen: Namespace) -> int:
    from phiscope.cli.named_objects import made_by, model_by
    from phiscope.observe import replay

    run = replay(
        model_by(chosen.model),
        chosen.checkpoints,
        made_by(chosen.data, "--data"),
        chosen.out,
        head=chosen.head,
        key=chosen.key,
        jobs=chosen.jobs,
        max_samples=chosen.max_samples,
        progress=False if chosen.quiet else None,
    )
    print(f"run: {run.path} ({len(run.records)} records)")
    return DONE


def _doctor(chosen: Namespace) -> int:
    from phiscope.cli.doctor import examine, report_text

    report = examine()
    print(json.dumps(report.facts(), ensure_ascii=False) if chosen.json else report_text(report))
    return OUR_FAULT if report.faults else DONE


def _reproduce(chosen: Namespace) -> int:
    from phiscope.reproduction.command import run_reproduction

    failed, interrupted = run_reproduction(chosen)
    return STOPPED if interrupted else OUR_FAULT if failed else DONE


COMMANDS: dict[str, Callable[[Namespace], int]] = {
    "studies": _studies,
    "run": _run,
    "measure": _measure,
    "report": _report,
    "compare": _compare,
    "figure": _figure,
    "view": _view,
    "explain": _explain,
    "replay": _replay,
    "reproduce": _reproduce,
    "doctor": _doctor,
}
"""Every command by its name."""
