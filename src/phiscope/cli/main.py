"""The command line: one short function a command; everything it says is written elsewhere."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, DefaultHelpFormatter, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

import phiscope
from phiscope.errors import PhiscopeError, UnknownNameError
from phiscope.reproduction.options import EXAMPLES, SUMMARY, add_options

DONE, OUR_FAULT, WRONG_USE, STOPPED = 0, 1, 2, 130
"""Exit codes; 130 is what a shell reports for Ctrl-C."""

_RUN = "Train a built-in study, observe it, and write its run and page; Ctrl-C stops it and keeps both."
_MEASURE = (
    "Diagonalize features from files, also larger than memory, and print every number. A PATH is a .npy file, a Zarr "
    "folder, a Parquet file, or a folder or quoted pattern of .npy or Parquet files; PATH:NAME names an array or "
    "columns inside."
)
_REPORT = "Write one self-contained page for a run, or for several side by side."
_EXPLAIN = "Print what a number, a symbol or a word of the page means: formula, range, direction, invariances, source."


class _Help(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples."""


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
    chosen = _parser().parse_args(arguments)
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
        return name.upper() if name in ("study", "runs", "name") else f"--{name.replace('_', '-')}"

    if re.search(r"unrecognized arguments: [^-]", message):
        message += "; a pattern that matches several files needs quotes"
    message = re.sub(r'Parser key "(\w+)"', typed, message)
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
    return DONE


def _compare(chosen: Namespace) -> int:
    from phiscope.cli.text import comparison_text
    from phiscope.runs import open_run

    if len(chosen.runs) < 2:
        raise ArgumentError(None, "compare needs at least two runs, as in: phiscope compare runs/a runs/b")
    runs = [open_run(path) for path in chosen.runs]
    print(comparison_text(runs))
    for run in runs:
        for warning in run.warnings:
            print(f"phiscope: {run.path}: {warning}", file=sys.stderr)
    return DONE


def _explain(chosen: Namespace) -> int:
    from phiscope.cli.text import all_words, explanation
    from phiscope.glossary.words import stored

    print(all_words(stored()) if not chosen.name else explanation(" ".join(chosen.name), stored()))
    return DONE


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
    "explain": _explain,
    "reproduce": _reproduce,
}
"""Every command by its name."""


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="phiscope",
        description="Diagonalize the forward feature map of a neural network and watch it learn.",
        epilog="Examples:\n  phiscope run digits-cnn\n  phiscope measure --features f.npy --outputs o.npy\n"
        "  phiscope explain dynamical_low_rank",
        formatter_class=_Help,
        exit_on_error=False,
        version=phiscope.__version__,
    )
    commands = parser.add_subcommands(dest="command", required=True)

    def command(name: str, summary: str, *examples: str) -> ArgumentParser:
        lines = "".join(f"\n  phiscope {name} {example}".rstrip() for example in examples)
        made = ArgumentParser(
            description=summary, epilog=f"Examples:{lines}", formatter_class=_Help, exit_on_error=False
        )
        commands.add_subcommand(name, made, help=summary)
        return made

    command("studies", "List the built-in studies, one line each.", "")
    _add_run(
        command("run", _RUN, "digits-cnn", "digits-fcn --epochs 20 --seed 3 --out runs", "digits-cnn --config my.yaml")
    )
    _add_measure(
        command(
            "measure", _MEASURE, "--features f.npy", "--features x.parquet:embedding --targets x.parquet:label --json"
        )
    )
    _add_runs(
        command("report", _REPORT, "runs/digits-cnn-seed0", "runs/a runs/b -o both.html"),
        command("compare", "Print the final numbers of several runs side by side.", "runs/a runs/b"),
    )
    _add_explain(command("explain", _EXPLAIN, "", "dynamical_low_rank", "D_LR", '"Pi*(k)"', "cannot be told"))
    add_options(command("reproduce", SUMMARY, *EXAMPLES))
    return parser


def _add_runs(report: ArgumentParser, compare: ArgumentParser) -> None:
    for parser in (report, compare):
        parser.add_argument("runs", nargs="+", type=str, metavar="RUN", help="a run's folder")
    report.add_argument("-o", "--output", type=str, default="report.html", metavar="FILE", help="the page to write")


def _add_explain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="*",
        type=str,
        metavar="NAME",
        help="a number's name or symbol, or a word; without it, all of them",
    )


def _add_run(parser: ArgumentParser) -> None:
    parser.add_argument("study", type=str, metavar="STUDY", help="its name; phiscope studies lists them")
    parser.add_argument("--out", type=str, default="runs", metavar="FOLDER", help="where to make the run's folder")
    parser.add_argument("--epochs", type=PositiveInt, default=None, metavar="N", help="epochs; the study has its own")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, metavar="N", help="seed of everything random")
    parser.add_argument("--config", action="config", metavar="FILE", help="options from a YAML file")


def _add_measure(parser: ArgumentParser) -> None:
    rows = {
        "features": "shape (n, p)",
        "outputs": "shape (n, C)",
        "targets": "(n,) integer classes, or float values",
        "weights": "shape (n,)",
        "groups": "shape (n,): names of what was sampled together, for intervals",
    }
    for name, shape in rows.items():
        parser.add_argument(
            f"--{name}", type=str, required=name == "features", default=None, metavar="PATH", help=shape
        )
    parser.add_argument(
        "--head", type=str, default=None, metavar="FILE", help=".npy of shape (C, p), instead of outputs"
    )
    parser.add_argument("--bias", type=str, default=None, metavar="FILE", help=".npy of shape (C,), of the head")
    parser.add_argument(
        "--rank-tolerance",
        type=PositiveFloat,
        default=1e-4,
        metavar="X",
        help="relative tolerance on the eigenvalues of the outputs' second moment",
    )
    parser.add_argument(
        "--k", type=PositiveInt, default=None, metavar="K", help="leading eigenfunctions of wide features"
    )
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact", help="of products; fast is float32")
    parser.add_argument("--json", action="store_true", help="print strict JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; there is none off a terminal either")
