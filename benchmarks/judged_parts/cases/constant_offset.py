"""Features far from the origin: a constant added to every feature changes no covariance."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import phiscope
from judged_parts.cases.case import Case, Row, theirs
from judged_parts.exact import sharing, signs, unbiased_cka

Rows = NDArray[np.float32]
OFFSETS = (0, 10, 30, 1000)


class Columns(nn.Module):
    """A network that hands on some of its inputs."""

    def __init__(self, chosen: slice) -> None:
        super().__init__()
        self.chosen, self.layer = chosen, nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The chosen columns."""
        return self.layer(x[..., self.chosen])


def by_torch_cka(X: Rows, Y: Rows) -> float:
    """torch-cka with both maps in one batch."""
    from torch_cka import CKA

    split = X.shape[1]
    judge = CKA(Columns(slice(0, split)), Columns(slice(split, None)), "X", "Y", ["layer"], ["layer"])
    both = torch.from_numpy(np.concatenate([X, Y], axis=1))
    judge.compare(DataLoader(TensorDataset(both), batch_size=len(both)))
    return float(judge.export()["CKA"][0, 0])


def by_pytorch_cka(X: Rows, Y: Rows) -> float:
    """pytorch-cka on the features themselves."""
    from cka import cka_from_features

    return float(cka_from_features(torch.from_numpy(X), torch.from_numpy(Y)))


def by_ckatorch(X: Rows, Y: Rows) -> float:
    """ckatorch, which casts to float64 first."""
    from ckatorch import cka_base

    return float(cka_base(torch.from_numpy(X), torch.from_numpy(Y), unbiased=True))


def by_scikit_learn(rows: Rows) -> float:
    """The smallest variance of PCA as it comes, over n."""
    from sklearn.decomposition import PCA

    values = PCA().fit(rows).explained_variance_
    return float(values[-1]) * (len(rows) - 1) / len(rows)


JUDGES = {"torch-cka": by_torch_cka, "pytorch-cka": by_pytorch_cka, "ckatorch": by_ckatorch}


def rows(there: Callable[[str], bool]) -> Iterator[Row]:
    """CKA of two maps that share half of their columns, and the least of six eigenvalues."""
    for offset in OFFSETS:
        X, Y = ((Z + offset).astype(np.float32) for Z in sharing(4, 2))
        yield Row(
            number="CKA, unbiased",
            condition=f"offset {offset:,} standard deviations, float32",
            exact=unbiased_cka(4, 2),
            ours=phiscope.compare(X, Y).cka_unbiased,
            others={name: theirs(lambda by=by, X=X, Y=Y: by(X, Y)) for name, by in JUDGES.items() if there(name)},
        )
    scales = 2.0 ** -np.arange(6)
    for offset in OFFSETS:
        features = (signs()[:, :6] * scales + offset).astype(np.float32)
        yield Row(
            number="least of six eigenvalues",
            condition=f"offset {offset:,} of the largest deviation, float32",
            exact=float(scales[-1] ** 2),
            ours=float(phiscope.diagonalize(features).centered.eigenvalues[5]),
            others={"scikit-learn": theirs(lambda f=features: by_scikit_learn(f))} if there("scikit-learn") else {},
        )


CASE = Case(
    key="constant-offset",
    title="Features far from the origin",
    packages={"torch-cka": "torch_cka", "pytorch-cka": "cka", "ckatorch": "ckatorch", "scikit-learn": "sklearn"},
    computes="torch-cka and pytorch-cka form inner products of the features as they come, and take the means out "
    "afterwards; so does scikit-learn's `PCA()` where samples are more than ten times the features "
    '(`"covariance_eigh"`, whose documentation warns that it is less stable). In float32 the inner '
    "products of features far from the origin have no digits left for what varies, and post-activations "
    "are such features. ckatorch casts to float64 first.",
    advice="Center the features before they are handed over, or hand them over in float64; for PCA take "
    '`svd_solver="full"`, which centers first.',
    rows=rows,
)
