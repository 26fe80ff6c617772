"""What each command takes, and its help: usage lines that can be typed, and no word of the parser's own."""

from __future__ import annotations

import argparse
import textwrap

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse.typing import NonNegativeInt, PositiveFloat, PositiveInt

import phiscope
from phiscope.reproduction.options import EXAMPLES, SUMMARY, add_options

WIDTH = 100
"""Descriptions are wrapped at this many columns."""

SUMMARIES = {
    "studies": "List the built-in studies, one line each.",
    "run": "Train a built-in study, observe it, and write its run and page. Ctrl-C stops it and keeps both.",
    "measure": "Diagonalize features from files, also larger than memory, and print every number. Every file has one "
    "row for each of the same n samples. A PATH is a .npy file, a Zarr folder, a Parquet file, or a folder or quoted "
    "pattern of .npy or Parquet files; PATH:NAME names an array or columns inside. Features alone give the spectrum "
    "and dimensions; outputs (or the head) add D_LR, Pihat and the regime; targets add Pi*, NC1 and what a linear head "
    "could do.",
    "report": "Write one self-contained page for a run, or for several side by side.",
    "compare": "Print the final numbers of several runs side by side.",
    "figure": "Write one picture of a run for a paper, one or two columns wide, and print its caption. NAME is "
    "spectrum, curves, classes, gallery, gradients or plane of one record, timeline, flow or why of the training, or "
    "widths of a sweep over widths.",
    "view": "Serve the runs in a folder to a browser on this machine, live while they train. From another machine: "
    "ssh -L 8000:localhost:N with --port N there, and open localhost:8000 here. Ctrl-C ends it.",
    "explain": "Print what a number, a symbol or a word of the page means: formula, range, direction, invariances, "
    "source.",
    "replay": "Measure saved checkpoints of one training, in order, and write the run that an observer would have "
    "written. MODEL and --data are module:function, found from the current folder. What the run has already is "
    "skipped.",
    "reproduce": SUMMARY,
    "doctor": "Say what this installation is made of (versions, devices, threads, extras) and check ten closed forms. "
    "Exit code 1 where something is wrong. Paste what it prints into the report of a fault.",
}
"""What each command does; the first sentence stands beside the others."""

USAGES = {
    "studies": "",
    "run": "STUDY [--out FOLDER] [--epochs N] [--seed N] [--config FILE]",
    "measure": "--features PATH [--outputs PATH | --head FILE [--bias FILE]] [--targets PATH]\n"
    "                        [--weights PATH] [--groups PATH] [--rank-tolerance X] [--k K] [--precision fast]\n"
    "                        [--json] [--quiet]",
    "report": "RUN [RUN ...] [-o FILE]",
    "compare": "RUN RUN [RUN ...]",
    "figure": "RUN NAME [-o FILE] [--columns {1,2}] [--epoch N] [--split NAME] [--k J,K] [--moving]",
    "view": "RUNS [--port N]",
    "explain": "[NAME]",
    "replay": "MODEL CHECKPOINT [CHECKPOINT ...] --data MODULE:FUNCTION --out RUN\n"
    "                       [--head NAME] [--key KEY] [--jobs N] [--max-samples N] [--quiet]",
    "reproduce": "[FAMILY] [--scale {small,medium,full}] [--jobs N] [--seeds N] [--out FOLDER]\n"
    "                          [--data FOLDER] [--device {auto,cpu,cuda}] [--docs FOLDER] [--judge]\n"
    "                          [--renew]",
    "doctor": "[--json]",
}
"""What stands behind ``phiscope NAME``."""

COMMAND_EXAMPLES = {
    "studies": ("",),
    "run": ("digits-cnn", "digits-fcn --epochs 20 --seed 3 --out runs", "digits-cnn --config my.yaml"),
    "measure": (
        "--features f.npy",
        "--features f.npy --outputs logits.npy --targets labels.npy",
        "--features f.npy --head W.npy --bias b.npy --targets labels.npy --json",
        "--features x.parquet:embedding --targets x.parquet:label",
    ),
    "report": ("runs/digits-cnn-seed0", "runs/a runs/b -o both.html"),
    "compare": ("runs/a runs/b",),
    "figure": (
        "runs/digits-cnn-seed0 spectrum -o fig.pdf",
        "runs/mine plane --k 2,3 --epoch 10 -o plane.svg",
        "runs/mine spectrum --moving -o spectrum.gif",
    ),
    "view": ("runs", "runs --port 8000"),
    "explain": ("", "dynamical_low_rank", "D_LR", '"Pi*(k)"', "cannot be told"),
    "replay": ("my_training:build 'ckpt/*.pt' --data my_training:probe --out runs/mine",),
    "reproduce": EXAMPLES,
    "doctor": ("", "--json"),
}
"""What to type behind ``phiscope NAME``, to begin with."""


class _Help(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the examples, and says defaults only where there is something to know."""

    def _get_help_string(self, action: argparse.Action) -> str:
        said = action.help or ""
        default = action.default
        # By identity: 0 is a default worth saying, and equal to False.
        if default is None or default is False or default == argparse.SUPPRESS or not action.option_strings:
            return said
        return f"{said} (default: {default})"


def command_parser() -> ArgumentParser:
    """The parser of the whole command line."""
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

    made = {name: _command(name) for name in USAGES}
    for name, one in made.items():
        commands.add_subcommand(name, one, help=SUMMARIES[name].partition(". ")[0].removesuffix(".") + ".")
    _add_run(made["run"])
    _add_measure(made["measure"])
    _add_runs(made["report"], made["compare"])
    _add_figure(made["figure"])
    _add_view(made["view"])
    _add_explain(made["explain"])
    _add_replay(made["replay"])
    add_options(made["reproduce"])
    made["doctor"].add_argument("--json", action="store_true", help="print strict JSON instead of text")
    return parser


def _command(name: str) -> ArgumentParser:
    lines = "".join(f"\n  phiscope {name} {example}".rstrip() for example in COMMAND_EXAMPLES[name])
    return ArgumentParser(
        usage=f"phiscope {name} {USAGES[name]}".rstrip(),
        description=textwrap.fill(SUMMARIES[name], WIDTH),
        epilog=f"Examples:{lines}",
        formatter_class=_Help,
        exit_on_error=False,
    )


def _add_run(parser: ArgumentParser) -> None:
    parser.add_argument("study", type=str, metavar="STUDY", help="its name; phiscope studies lists them")
    parser.add_argument("--out", type=str, default="runs", metavar="FOLDER", help="where to make the run's folder")
    parser.add_argument("--epochs", type=PositiveInt, default=None, metavar="N", help="epochs; the study has its own")
    parser.add_argument("--seed", type=NonNegativeInt, default=0, metavar="N", help="seed of everything random")
    parser.add_argument("--config", action="config", metavar="FILE", help="options from a YAML file")


def _add_measure(parser: ArgumentParser) -> None:
    rows = {
        "features": "the features, shape (n, p): the only file that has to be given",
        "outputs": "the network's outputs before softmax, shape (n, C)",
        "targets": "what is right: whole numbers (n,) are classes, floats (n,) or (n, c) are values",
        "weights": "how much each sample counts, shape (n,)",
        "groups": "names of what was sampled together, for intervals, shape (n,)",
    }
    for name, text in rows.items():
        parser.add_argument(f"--{name}", type=str, required=name == "features", default=None, metavar="PATH", help=text)
    parser.add_argument(
        "--head", type=str, default=None, metavar="FILE", help="the head's weights, .npy (C, p), in place of --outputs"
    )
    parser.add_argument("--bias", type=str, default=None, metavar="FILE", help="the head's bias, .npy (C,)")
    parser.add_argument(
        "--rank-tolerance",
        type=PositiveFloat,
        default=1e-4,
        metavar="X",
        help="output directions below this share of the strongest count as none",
    )
    parser.add_argument(
        "--k", type=PositiveInt, default=None, metavar="K", help="only the K leading eigenfunctions, for wide features"
    )
    parser.add_argument(
        "--precision", choices=("exact", "fast"), default="exact", help="of products; fast is float32, exact float64"
    )
    parser.add_argument("--json", action="store_true", help="print strict JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; there is none off a terminal either")


def _add_runs(report: ArgumentParser, compare: ArgumentParser) -> None:
    for parser in (report, compare):
        parser.add_argument("runs", nargs="+", type=str, metavar="RUN", help="a run's folder")
    report.add_argument("-o", "--output", type=str, default="report.html", metavar="FILE", help="the page to write")


def _add_view(parser: ArgumentParser) -> None:
    parser.add_argument("runs", type=str, metavar="RUNS", help="a folder with runs in it, or one run")
    parser.add_argument("--port", type=PositiveInt, default=None, metavar="N", help="where to listen; else a free port")


def _add_explain(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="*",
        type=str,
        metavar="NAME",
        help="a number's name or symbol, or a word; without it, all of them",
    )


def _add_replay(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=str, metavar="MODEL", help="module:function that makes the network")
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=str,
        metavar="CHECKPOINT",
        help="a file, a folder of the Trainer, or a quoted pattern",
    )
    parser.add_argument(
        "--data", type=str, required=True, metavar="DATA", help="module:function that gives the probe data"
    )
    parser.add_argument("--out", type=str, required=True, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--head", type=str, default=None, metavar="NAME", help="dotted name of the head; else it is found"
    )
    parser.add_argument(
        "--key", type=str, default=None, metavar="KEY", help="where in a file the weights lie, such as ema"
    )
    parser.add_argument("--jobs", type=PositiveInt, default=1, metavar="N", help="so many processes at a time")
    parser.add_argument("--max-samples", type=PositiveInt, default=None, metavar="N", help="of each split; else all")
    parser.add_argument("--quiet", action="store_true", help="no progress bar; there is none off a terminal either")


def _add_figure(parser: ArgumentParser) -> None:
    parser.add_argument("run", type=str, metavar="RUN", help="a run's folder")
    parser.add_argument("picture", type=str, metavar="NAME", help="which picture")
    parser.add_argument(
        "-o", "--output", type=str, default="figure.pdf", metavar="FILE", help="its ending is the format: pdf, svg, png"
    )
    parser.add_argument("--columns", type=int, choices=(1, 2), default=None, help="85 or 178 mm wide; else as it suits")
    parser.add_argument("--epoch", type=float, default=None, metavar="N", help="of which record; else the last")
    parser.add_argument("--split", type=str, default=None, metavar="NAME", help="of the data; else the first")
    parser.add_argument("--k", type=str, default="1,2", metavar="J,K", help="of plane: which two eigenfunctions")
    parser.add_argument(
        "--moving", action="store_true", help="through all records: spectrum, curves or why as .gif, .apng or .webp"
    )
