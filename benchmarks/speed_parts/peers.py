"""Other packages on the same features, each doing as much as it gives; imported when they are called."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speed_parts.cases import BATCH_ROWS, Case

CKA_ROWS = 256
"""Samples in one minibatch of the minibatch CKA."""


def _one_hot(targets: NDArray[np.int64], classes: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(targets), classes).to(dtype)


def sklearn_covariance(case: Case, dtype: Any) -> Any:
    """PCA by the eigenvalues of the covariance; float32 rows as they come, or cast to float64 inside the clock."""
    from sklearn.decomposition import PCA

    return PCA(svd_solver="covariance_eigh").fit(case.features.astype(dtype or np.float32, copy=False))


def sklearn_full(case: Case, _: Any) -> Any:
    """PCA by the full singular value decomposition of the rows."""
    from sklearn.decomposition import PCA

    return PCA(svd_solver="full").fit(case.features)


def sklearn_incremental(case: Case, _: Any) -> Any:
    """IncrementalPCA with all p components; a batch needs at least p rows."""
    from sklearn.decomposition import IncrementalPCA

    return IncrementalPCA(n_components=case.shape.p, batch_size=max(BATCH_ROWS, case.shape.p)).fit(case.features)


def from_sklearn(case: Case, fitted: Any) -> NDArray[np.float64]:
    """Variances along components, from n - 1 to n."""
    return np.asarray(fitted.explained_variance_, dtype=np.float64) * (case.shape.n - 1) / case.shape.n


def torchdr_exact(case: Case, dtype: Any) -> Any:
    """ExactIncrementalPCA: one pass for the mean, one for the covariance, then eigenvectors."""
    from torchdr import ExactIncrementalPCA

    model = ExactIncrementalPCA(n_components=case.shape.p, device="cpu")
    dtype = dtype or torch.float32
    # A generator each time: float64 copies of all batches at once would be counted as its memory.
    model.compute_mean(torch.from_numpy(rows).to(dtype) for rows, _ in case.batches())
    model.fit(torch.from_numpy(rows).to(dtype) for rows, _ in case.batches())
    return model


def from_torchdr(_: Case, model: Any) -> NDArray[np.float64]:
    """Variances along components, over n as they come."""
    return model.explained_variance_.double().numpy()


def leace(case: Case, dtype: Any) -> tuple[Any, torch.Tensor]:
    """LeaceFitter's covariance and class cross-covariance, then eigenvalues by hand."""
    from concept_erasure import LeaceFitter

    dtype = dtype or torch.float32
    fitter = LeaceFitter(case.shape.p, case.shape.classes, dtype=dtype, shrinkage=False)
    for rows, targets in case.batches():
        fitter.update(torch.from_numpy(rows), _one_hot(targets, case.shape.classes, dtype))
    return fitter, torch.linalg.eigvalsh(fitter.sigma_xx)


def from_leace(case: Case, result: tuple[Any, torch.Tensor]) -> NDArray[np.float64]:
    """Eigenvalues from n - 1 to n."""
    return result[1].double().numpy() * (case.shape.n - 1) / case.shape.n


class _Given(torch.nn.Module):
    """The features themselves where a metric expects a network that makes them."""

    def __init__(self, p: int) -> None:
        super().__init__()
        self.num_features = p

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def torchmetrics_frechet(case: Case, _: Any) -> tuple[Any, torch.Tensor]:
    """The streaming moments of FrechetInceptionDistance in float64, then eigenvalues by hand."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(case.shape.p))
    for rows, _targets in case.batches():
        metric.update(torch.from_numpy(rows), real=True)
    mean = metric.real_features_sum / metric.real_features_num_samples
    covariance = metric.real_features_cov_sum / metric.real_features_num_samples - torch.outer(mean, mean)
    return metric, torch.linalg.eigvalsh(covariance)


def from_pair(_: Case, result: tuple[Any, torch.Tensor]) -> NDArray[np.float64]:
    """Eigenvalues of a covariance over n."""
    return result[1].double().numpy()


def delve_covariance(case: Case, _: Any) -> tuple[Any, torch.Tensor]:
    """delve's covariance class alone, then eigenvalues by hand."""
    from delve import TorchCovarianceMatrix

    matrix = TorchCovarianceMatrix(device="cpu")
    for rows, _targets in case.batches():
        matrix.update(torch.from_numpy(rows), False)
    return matrix, torch.linalg.eigvalsh(matrix.fix())


class _PassOn(torch.nn.Linear):
    """A layer that delve tracks, without the cost of a layer."""

    def __init__(self, p: int) -> None:
        super().__init__(1, 1)
        self.out_features = p

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows


def delve_tracker(case: Case, _: Any) -> Any:
    """delve's tracker on one layer, as in training, and its saturation."""
    from delve import SaturationTracker

    model = torch.nn.Sequential(_PassOn(case.shape.p)).eval()
    with tempfile.TemporaryDirectory() as folder:
        tracker = SaturationTracker(folder, "csv", model, stats=["lsat"], reset_covariance=False, device="cpu")
        with torch.no_grad():
            for rows, _targets in case.batches():
                model(torch.from_numpy(rows))
            tracker.add_saturations(save=False)
        tracker.close()
    return tracker


def from_delve_tracker(_: Case, tracker: Any) -> NDArray[np.float64]:
    """Eigenvalues of the covariance that the tracker ends with."""
    (matrix,) = tracker.logs["eval-covariance-matrix"].values()
    return torch.linalg.eigvalsh(matrix.fix()).numpy()


def reptrix_rankme(case: Case, _: Any) -> float:
    """RankMe; inside, a full singular value decomposition by scikit-learn."""
    from reptrix.rankme import get_rankme

    return float(get_rankme(torch.from_numpy(case.features), max_eigenvals=case.shape.p))


def cka_exact(case: Case, _: Any) -> float:
    """Linear CKA between features and one-hot classes through n x n Gram matrices."""
    from ckatorch import cka_base

    labels = _one_hot(case.targets, case.shape.classes, torch.float64)
    return float(cka_base(torch.from_numpy(case.features), labels, kernel="linear"))


def cka_minibatch(case: Case, _: Any) -> float:
    """The same estimated from minibatches of 256 samples (the rows that fill no minibatch are left out)."""
    from ckatorch.core import cka_batch

    rows = min(CKA_ROWS, case.shape.n)
    count = case.shape.n // rows
    labels = _one_hot(case.targets, case.shape.classes, torch.float64)
    batched = [
        part[: count * rows].reshape(count, rows, part.shape[1]) for part in (torch.from_numpy(case.features), labels)
    ]
    return float(cka_batch(*batched))
