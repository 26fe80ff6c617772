"""Cases that try to break the rule of the regime: what each is by construction, its word, whether that is right.

    python benchmarks/regimes.py                       # the table, about a minute on one core
    python benchmarks/regimes.py --docs docs/guide/regimes.md   # and into the page, between its two marks

A case states the words that would be right before the rule is asked. Cases are made by formula or by small trainings
with fixed seeds; no threshold was moved to please one of them.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

import phiscope

NONE = "cannot be told"
START, END = "<!-- cases: python benchmarks/regimes.py --docs docs/guide/regimes.md -->", "<!-- end of cases -->"


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: what it is by construction.
        right: words that say so.
        make: the measurement.
        remark: where the rule is blind, or why several words are right.
    """

    name: str
    right: tuple[str, ...]
    make: Callable[[], phiscope.Measurement]
    remark: str = ""


def rng() -> np.random.Generator:
    """The same draws for each case."""
    return np.random.default_rng(0)


def basis(p: int, k: int) -> np.ndarray:
    """k orthonormal directions of p features, shape (k, p)."""
    return np.linalg.qr(rng().normal(size=(p, k)))[0].T


def collapsed(
    classes: int = 10, p: int = 128, n: int = 4000, noise: float = 0.05, shares: np.ndarray | None = None
) -> phiscope.Measurement:
    """Class means on the vertices of a simplex, the head along them; noise as a share of the means' own norm."""
    g = rng()
    y = np.concatenate([np.arange(classes), g.choice(classes, n - classes, p=shares)])
    means = (np.eye(classes) - 1 / classes) @ basis(p, classes)
    spread = noise * np.linalg.norm(means[0]) / np.sqrt(p)
    return phiscope.diagonalize(means[y] + spread * g.normal(size=(n, p)), head=(10 * means, None), targets=y)


def random_features(outputs: int, p: int, n: int = 6000, dead: int = 0, decay: float = 0.0) -> phiscope.Measurement:
    """Gaussian features of a power-law spectrum, a random head, random labels."""
    g = rng()
    x = g.normal(size=(n, p)) * np.arange(1.0, p + 1) ** (-decay / 2)
    x[:, p - dead :] = 0.0
    labels = g.integers(0, max(outputs, 2), n)
    return phiscope.diagonalize(x, head=(g.normal(size=(outputs, p)), None), targets=labels)


def regression(scales: tuple[float, ...], p: int = 64, n: int = 4000, noise: float = 0.02) -> phiscope.Measurement:
    """Features that are the targets, each as strong as the root of its target, with some noise beside."""
    g = rng()
    y = g.normal(size=(n, len(scales)))
    directions = basis(p, len(scales))
    x = (y * np.sqrt(scales)) @ directions + noise * g.normal(size=(n, p))
    return phiscope.diagonalize(x, outputs=y * scales, targets=y * scales)


def with_signal(used: float, equal: bool = True, p: int = 128, r: int = 9) -> phiscope.Measurement:
    """r output features that hold a share of the variance, all others equally strong."""
    g = rng()
    rho = np.full(p, (1 - used) / (p - r))
    rho[:r] = used / r if equal else used * np.arange(r, 0, -1.0) ** 2 / (np.arange(r, 0, -1.0) ** 2).sum()
    x = g.normal(size=(6000, p)) * np.sqrt(rho)
    return phiscope.diagonalize(x, head=(np.eye(r, p), None))


def bottleneck(width: int, outputs: int = 10) -> phiscope.Measurement:
    """A layer of 512 features fed linearly through few: only these are independent."""
    g = rng()
    x = g.normal(size=(5000, width)) @ g.normal(size=(width, 512))
    return phiscope.diagonalize(x, head=(g.normal(size=(outputs, 512)), None), targets=g.integers(0, outputs, 5000))


def multi_label() -> phiscope.Measurement:
    """Eight independent labels; each has a feature of its own."""
    g = rng()
    y = (g.random((4000, 8)) < 0.3).astype(float)
    x = y @ basis(96, 8) + 0.02 * g.normal(size=(4000, 96))
    return phiscope.diagonalize(x, head=(8 * basis(96, 8), None), targets=y)


def two_blocks() -> phiscope.Measurement:
    """Outputs on the features 11 to 20, as strong as the first ten, which nothing reads."""
    g = rng()
    x = g.normal(size=(6000, 64)) * np.r_[np.ones(20), np.full(44, 0.05)]
    return phiscope.diagonalize(x, head=(np.eye(9, 64, k=10), None))


def lone_direction() -> phiscope.Measurement:
    """Collapsed classes, and one unused direction a hundred times as strong."""
    g = rng()
    y = g.integers(0, 10, 4000)
    means = (np.eye(10) - 0.1) @ basis(128, 11)[:10]
    x = means[y] + 10 * g.normal(size=(4000, 1)) * basis(128, 11)[10] + 0.002 * g.normal(size=(4000, 128))
    return phiscope.diagonalize(x, head=(10 * means, None), targets=y)


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's handwritten digits, standardized."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)


def trained(
    *,
    shuffled: bool = False,
    frozen: bool = False,
    epochs: int = 60,
    widths: tuple[int, ...] = (128, 128),
    lazy: float = 1.0,
    untrained: bool = False,
) -> phiscope.Measurement:
    """A fully connected network on digits, observed from its initial state."""
    import tempfile

    torch.manual_seed(0)
    x, y = digits()
    if shuffled:
        y = y[torch.randperm(len(y))]
    layers: list[nn.Module] = []
    for before, after in zip((64, *widths[:-1]), widths, strict=True):
        layers += [nn.Linear(before, after), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(widths[-1], 10))
    moving = net[-1].parameters() if frozen else net.parameters()
    optimizer = torch.optim.Adam(moving, lr=1e-3)
    with tempfile.TemporaryDirectory() as folder:
        observer = phiscope.Observer(net, {"train": (x, y)}, run=Path(folder) / "run")
        found = observer.record(epoch=0)
        for _ in range(0 if untrained else epochs):
            for rows in torch.randperm(len(x)).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(lazy * net(x[rows]), y[rows]).backward()
                optimizer.step()
        if not untrained:
            found = observer.record(epoch=epochs)
        observer.close()
    return found


def language_model() -> phiscope.Measurement:
    """A small transformer from its config, untrained: 97 tokens on 128 features."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_head=4, n_embd=128, vocab_size=97, n_positions=32)
    tokens = torch.randint(0, 97, (64, 32))
    return phiscope.measure(GPT2LMHeadModel(config), [{"input_ids": tokens, "labels": tokens}])


def no_outputs() -> phiscope.Measurement:
    """Features and labels alone."""
    return phiscope.diagonalize(rng().normal(size=(500, 20)), targets=rng().integers(0, 3, 500))


MINIMAL, EXTENDED, BETWEEN, FROZEN = ("minimal",), ("extended",), ("intermediate",), ("coefficient",)

CASES = (
    Case("ten collapsed classes", MINIMAL, collapsed),
    Case("noise of a third of the means beside", MINIMAL, lambda: collapsed(noise=0.3)),
    Case("noise of .6 of the means: D_eff would be 20 and more", MINIMAL, lambda: collapsed(noise=0.6)),
    Case("noise as strong as the means in all", ("minimal", "intermediate"), lambda: collapsed(noise=1.0), "U = .5"),
    Case("noise three times as strong", BETWEEN, lambda: collapsed(noise=3.0)),
    Case("noise six times as strong", EXTENDED, lambda: collapsed(noise=6.0, n=2000)),
    Case("two logits, collapsed", MINIMAL, lambda: collapsed(classes=2)),
    Case("100 collapsed classes on 512 features", MINIMAL, lambda: collapsed(classes=100, p=512, n=6000)),
    Case("1,000 outputs on 512 features", (NONE,), lambda: random_features(1000, 512, 8000),
         "the word is withheld, whatever the features"),
    Case("1,000 collapsed classes on 2,048 features", MINIMAL, lambda: collapsed(classes=1000, p=2048, n=9000)),
    Case("1,000 random outputs on 2,048 features", ("extended", NONE, "intermediate"),
         lambda: random_features(1000, 2048, 9000), "r is just below half: the sentence says what is out of reach"),
    Case("1,000 random outputs on 4,096 features", EXTENDED, lambda: random_features(1000, 4096, 12000)),
    Case("classes in proportion from 100 to 1, collapsed", MINIMAL,
         lambda: collapsed(shares=np.geomspace(100, 1, 10) / np.geomspace(100, 1, 10).sum(), n=8000)),
    Case("one class of 100, nine of 1, collapsed", MINIMAL,
         lambda: collapsed(shares=np.r_[100, np.ones(9)] / 109, n=8000, noise=0.01),
         "the distance to collapse is .1: at the edge"),
    Case("80 / 15 / 5 %, collapsed", MINIMAL, lambda: collapsed(classes=3, shares=np.array([0.8, 0.15, 0.05]))),
    Case("one output, one feature", MINIMAL, lambda: regression((1.0,))),
    Case("one output on 64 random features", EXTENDED, lambda: random_features(1, 64)),
    Case("three targets of equal strength", MINIMAL, lambda: regression((1.0, 1.0, 1.0))),
    Case("three targets of 1 : 3 : 10", MINIMAL, lambda: regression((1.0, 3.0, 10.0))),
    Case("eight independent labels", MINIMAL, multi_label),
    Case("ten random outputs on 128 random features", EXTENDED, lambda: random_features(10, 128)),
    Case("the same on features of power-law strength", EXTENDED, lambda: random_features(10, 128, decay=1.0)),
    Case("features whose strength falls steeply", ("extended", "intermediate"),
         lambda: random_features(10, 128, decay=3.0), "few features are left that could be used"),
    Case("12 living units of 512", (NONE,), lambda: random_features(10, 512, dead=500)),
    Case("12 samples", (NONE,), lambda: random_features(10, 128, n=12)),
    Case("60 samples of 512 features", EXTENDED, lambda: random_features(10, 512, n=60), "n < p"),
    Case("as many features as classes", (NONE,), lambda: random_features(10, 10)),
    Case("97 random outputs on 128 features", (NONE,), lambda: random_features(97, 128)),
    Case("40 random outputs on 100 features", ("extended", "intermediate"), lambda: random_features(40, 100),
         "2 r is all but out of reach; the sentence says it"),
    Case("bottleneck of 12 below 512 features", ("intermediate", NONE), lambda: bottleneck(12),
         "512 features vary, 12 directions do"),
    Case("bottleneck of 9, random", ("intermediate", NONE), lambda: bottleneck(9),
         "**blind**: 9 directions and 9 outputs look like collapse, though nothing chose them"),
    Case("output features with 12 % of the variance in noise", BETWEEN, lambda: with_signal(0.12)),
    Case("output features with 90 %, of unequal strength", BETWEEN, lambda: with_signal(0.9, equal=False)),
    Case("outputs on ten of twenty equal features", ("extended", "intermediate"), two_blocks,
         "order among equal features is chance"),
    Case("collapsed beside one strong direction that nothing reads", BETWEEN, lone_direction),
    Case("digits, fully connected, trained", ("intermediate", "extended"), trained),
    Case("digits, untrained", ("extended", "intermediate"), lambda: trained(untrained=True),
         "marked as the initial state"),
    Case("digits, only the head trained", FROZEN, lambda: trained(frozen=True)),
    Case("digits, shuffled labels", ("intermediate", "extended"), lambda: trained(shuffled=True, epochs=100),
         "not trained to collapse"),
    Case("a language model of 97 tokens on 128 features", (NONE,), language_model),
    Case("no outputs", (NONE,), no_outputs),
)  # fmt: skip


def row(case: Case) -> tuple[bool, str]:
    """Whether the word is right, and a line of the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = case.make()
    evidence = m.evidence
    word = m.regime or NONE
    numbers = ("k90", "used_variance", "cliff", "dynamical_low_rank")
    shown = []
    for name in numbers:
        value = getattr(evidence, name)
        shown.append("–" if value is None else f"{value:.3g}")
    right = word in case.right
    cells = [case.name, str(evidence.output_rank), *shown, word, "yes" if right else "**no**", case.remark]
    return right, f"| {' | '.join(cells)} |"


def table() -> tuple[str, int]:
    """The table, and how many words are right."""
    lines = [
        "| case | r | k90 | U | cliff | D_LR | word | right | remark |",
        "|---|---:|---:|---:|---:|---:|---|---|---|",
    ]
    count = 0
    for case in CASES:
        right, line = row(case)
        count += right
        lines.append(line)
        print(line, flush=True)
    return "\n".join(lines), count


def main() -> None:
    """Print the table, and put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=Path)
    asked = parser.parse_args()
    text, count = table()
    said = f"{count} of {len(CASES)} words are right."
    print(said)
    if asked.docs is not None:
        page = asked.docs.read_text(encoding="utf-8")
        head, rest = page.split(START)
        asked.docs.write_text(f"{head}{START}\n\n{said}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
