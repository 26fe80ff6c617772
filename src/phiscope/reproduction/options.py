"""Options of `phiscope reproduce`; loads nothing but the parser, so that help stays quick."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

LETTERS = MappingProxyType(
    {
        "a": "minimal",
        "b": "learning-rate",
        "c": "batch-norm",
        "d": "grokking",
        "e": "code",
        "f": "shuffled",
        "g": "scaling",
        "h": "regression",
        "i": "poor",
        "j": "ladder",
        "k": "pruning",
        "l": "distortion",
    }
)
"""The name of each family by its letter."""

SUMMARY = (
    "Set the paper's claims beside what comes out here: run the trainings that are missing, print a verdict for each "
    "claim, write a page. Ctrl-C keeps every finished training; the same command goes on from there."
)
SCALES = "medium: Fashion-MNIST, 8 to 16 hours on one core; full: files and a GPU"
EXAMPLES = ("grokking", "--jobs 2", "--scale medium", "code --scale full --data data")


def add_options(parser: ArgumentParser) -> None:
    """Add the options to the command's parser."""
    words = ", ".join(f"{letter} {name}" for letter, name in LETTERS.items())
    parser.add_argument("family", nargs="?", type=str, metavar="FAMILY", help=f"{words}; without it, all of them")
    parser.add_argument("--scale", type=Literal["small", "medium", "full"], default="small", help=SCALES)
    parser.add_argument("--jobs", type=PositiveInt, default=1, metavar="N", help="trainings side by side")
    parser.add_argument("--seeds", type=PositiveInt, default=3, metavar="N", help="of each condition, 3 or more")
    parser.add_argument("--out", type=str, default="reproduction", metavar="FOLDER", help="for outcomes and page")
    parser.add_argument(
        "--data", type=str, default=None, metavar="FOLDER", help="holds mnist, cifar10, cifar100, fashion-mnist"
    )
    parser.add_argument("--device", type=Literal["auto", "cpu", "cuda"], default="auto", help="where to train")
    parser.add_argument("--docs", type=str, default=None, metavar="FOLDER", help="write reproduction.md there, too")
    parser.add_argument("--renew", action="store_true", help="train again what lacks numbers that are kept now")
    parser.add_argument("--judge", action="store_true", help="train nothing; judge the trainings that are there")
