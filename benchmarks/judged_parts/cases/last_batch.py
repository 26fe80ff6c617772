"""Data in several batches: two batches A and B have to give what both at once give."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from judged_parts.cases.case import Case, Row, theirs
from judged_parts.cases.constant_offset import Columns
from judged_parts.exact import SAMPLES, signs


def halves() -> tuple[Tensor, Tensor]:
    """Sign vectors around 3, and twice as large ones around -3: variances 1 and 4, together 2.5 + 9 a feature."""
    rows = torch.from_numpy(signs()[:, :4]).float()
    return rows + 3, 2 * rows - 3


def passing_on() -> nn.Sequential:
    """A linear layer that hands on its inputs."""
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(4))
        layer.bias.zero_()
    return nn.Sequential(layer).eval()


def by_delve(batches: tuple[Tensor, ...]) -> float:
    """The trace of the covariance that delve's tracker ends with."""
    from delve import SaturationTracker

    net = passing_on()
    with tempfile.TemporaryDirectory() as folder:
        tracker = SaturationTracker(folder, "csv", net, stats=["lsat"], device="cpu")
        with torch.no_grad():
            for rows in batches:
                net(rows)
        (matrix,) = tracker.logs["eval-covariance-matrix"].values()
        tracker.close()
    return float(matrix.fix().trace())


def tokens() -> Tensor:
    """Four texts whose two maps are the same, and four whose maps have nothing in common; (8, 256, 8)."""
    rows = torch.from_numpy(signs()).float()
    same, other = torch.cat([rows[:, :4], rows[:, :4]], dim=1), rows
    return torch.stack([same] * 4 + [other] * 4)


def minibatch_cka() -> float:
    """CKA of `tokens` from sums of unbiased HSIC over the texts, on paper; see `exact.unbiased_cka` for the terms."""
    n = SAMPLES
    rest = 16 * (n**2 / ((n - 1) * (n - 2)) - 2 * n / (n - 2) - n)
    return (4 * (4 * n**2 + rest) + 4 * rest) / (8 * (4 * n**2 + rest))


def by_ckatorch(size: int) -> float:
    """ckatorch's CKA over a loader with batches of so many texts."""
    from ckatorch import CKA

    judge = CKA(Columns(slice(0, 4)), Columns(slice(4, 8)), ["layer"], first_name="X", second_name="Y")
    return float(judge(DataLoader(TensorDataset(tokens()), batch_size=size), epochs=1)[0, 0])


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """The trace of a covariance and a minibatch CKA, at once and in two batches."""
    together = torch.cat(halves())
    for words, batches in (("512 samples at once", (together,)), ("two batches of 256", halves())):
        loader = DataLoader(TensorDataset(together, torch.zeros(512)), batch_size=len(batches[0]))
        yield Row(
            number="trace of the covariance",
            condition=words,
            exact=4 * (2.5 + 9),
            ours=float(np.sum(phiscope.measure(passing_on(), loader, features="output").centered.eigenvalues)),
            others={"delve": theirs(lambda batches=batches: by_delve(batches))} if there("delve") else {},
        )
    for words, size in (("8 texts at once", 8), ("two batches of 4", 4)):
        yield Row(
            number="CKA, HSIC summed over texts",
            condition=words,
            exact=minibatch_cka(),
            ours=None,
            others={"ckatorch": theirs(lambda size=size: by_ckatorch(size))} if there("ckatorch") else {},
        )


CASE = Case(
    key="last-batch",
    title="More than one batch",
    packages={"delve": "delve", "ckatorch": "ckatorch"},
    computes="delve's `SaturationTracker` makes a new covariance for every batch that its hook sees, and "
    "ckatorch's `CKA` writes the value of every batch over the one before, so that both end with the "
    "last batch of an epoch. In the data here the two batches differ on purpose; where batches are alike "
    "the value is a noisier one.",
    advice="With delve use its class `TorchCovarianceMatrix`, which sums over batches as it should; with ckatorch "
    "hand over all data in one batch. phiscope has no CKA summed over minibatches: `compare` takes all "
    "rows.",
    rows=rows,
)
