"""Naive twins: every number in sample space, by the shortest road and without streaming.

The package works on streamed moments (p x p); these twins work on the samples themselves: singular value
decompositions of the n x p matrix, orthonormal bases of the spans in R^n, and n x n Gram matrices. Nothing is shared
with the package, so a slip in an algebraic identity there cannot be repeated here. float64 throughout; `share` is
weight / total weight; samples of weight 0 are dropped first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

TARGET_TOLERANCE = 1e-10
EPSILON = np.finfo(np.float64).eps


@dataclass(frozen=True)
class Sample:
    """One data set as the twins see it: float64 arrays, targets as a matrix, labels beside when they are classes."""

    features: Matrix
    outputs: Matrix | None
    targets: Matrix | None
    labels: NDArray[np.int64] | None
    share: Matrix
    head_weight: Matrix | None = None
    rank_tolerance: float = 1e-4


def sample(features, outputs=None, head=None, targets=None, weights=None, num_classes=None, rank_tolerance=1e-4):
    """The same call as `phiscope.diagonalize`, by hand."""
    X = np.asarray(features, dtype=np.float64)
    n = X.shape[0]
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    head_weight = None
    if head is not None:
        head_weight = np.asarray(head[0], dtype=np.float64)
        bias = np.zeros(head_weight.shape[0]) if head[1] is None else np.asarray(head[1], dtype=np.float64)
        outputs = X @ head_weight.T + bias
    labels = None
    if targets is not None:
        targets = np.asarray(targets)
        if targets.dtype.kind in "iu":
            labels = targets.astype(np.int64)
            width = labels.max() + 1 if num_classes is None else num_classes
            if num_classes is None and outputs is not None:
                width = max(width, np.asarray(outputs).shape[1])  # columns of classes that never occur change nothing
            targets = np.eye(width)[labels]
        targets = np.asarray(targets, dtype=np.float64).reshape(n, -1)
    f = None if outputs is None else np.asarray(outputs, dtype=np.float64).reshape(n, -1)
    counted = w > 0
    X, f, targets, labels = (None if part is None else part[counted] for part in (X, f, targets, labels))
    return Sample(X, f, targets, labels, w[counted] / w.sum(), head_weight, rank_tolerance)


def scaled(s, A, centered):
    """Rows times sqrt(share), so that plain sums over rows are expectations."""
    # Subtracting twice leaves a mean that is exact to rounding.
    if centered:
        A = A - s.share @ A
        A = A - s.share @ A
    return np.sqrt(s.share)[:, None] * A


def differences(s):
    """The outputs of centered readings: for classes modulo a common shift, which softmax does not see."""
    if s.labels is None or s.outputs.shape[1] < 2:
        return s.outputs
    return s.outputs - s.outputs.mean(axis=1, keepdims=True)


def output_span(s, centered):
    """Span of the outputs, centered: of their differences."""
    return span(scaled(s, differences(s) if centered else s.outputs, centered), s.rank_tolerance)


def span(A, tolerance):
    """Orthonormal basis (n, r) of the column space; directions below `tolerance` of the largest eigenvalue are out."""
    U, singular, _ = np.linalg.svd(A, full_matrices=False)
    if singular[0] == 0:
        return U[:, :0]
    return U[:, singular**2 > tolerance * singular[0] ** 2]


def spectrum(s, centered):
    """Eigenvalues descending, eigenfunctions on the samples times sqrt(share): (k,), (n, k)."""
    U, singular, _ = np.linalg.svd(scaled(s, s.features, centered), full_matrices=False)
    rho = singular**2
    kept = rho > s.features.shape[1] * EPSILON * rho[0]
    return rho[kept], U[:, kept]


def quality(s, centered):
    U = spectrum(s, centered)[1]
    return ((span(scaled(s, s.targets, centered), TARGET_TOLERANCE).T @ U) ** 2).sum(axis=0)


def utilization(s, centered):
    U = spectrum(s, centered)[1]
    return ((output_span(s, centered).T @ U) ** 2).sum(axis=0)


def cumulative_quality(s, centered):
    return np.cumsum(quality(s, centered)) / span(scaled(s, s.targets, centered), TARGET_TOLERANCE).shape[1]


def cumulative_utilization(s, centered):
    return np.cumsum(utilization(s, centered)) / output_span(s, centered).shape[1]


def effective_dimension(s, centered=False):
    q = spectrum(s, centered)[0]
    q = q / q.sum()
    return np.exp(-(q * np.log(q)).sum())


def participation_ratio(s, centered=False):
    gram = scaled(s, s.features, centered) @ scaled(s, s.features, centered).T
    return np.trace(gram) ** 2 / (gram**2).sum()


def stable_rank(s, centered=False):
    A = scaled(s, s.features, centered)
    return (np.linalg.norm(A, "fro") / np.linalg.norm(A, 2)) ** 2


def rankme(s):
    singular = np.linalg.svd(scaled(s, s.features, False), compute_uv=False)
    q = singular / singular.sum() + 1e-7
    # The 1e-7 can pass the range by as much.
    return np.clip(np.exp(-(q * np.log(q)).sum()), 1, min(s.features.shape))


def alpha_req(s):
    rho = spectrum(s, True)[0]
    design = np.stack([np.log(np.arange(1, len(rho) + 1)), np.ones(len(rho))], axis=1)
    return -np.linalg.lstsq(design, np.log(rho), rcond=None)[0][0]


def srank(s):
    singular = np.linalg.svd(scaled(s, s.features, False), compute_uv=False)
    for k in range(1, len(singular) + 1):
        if singular[:k].sum() >= 0.99 * singular.sum():
            return k
    raise AssertionError("unreachable: all of the sum is at least 99 % of it")


def cka(K, L):
    return (K * L).sum() / (np.linalg.norm(K) * np.linalg.norm(L))


def kernel(A):
    return A @ A.T


def centering(s):
    root = np.sqrt(s.share)
    return np.eye(len(root)) - np.outer(root, root)


def dynamical_low_rank(s):
    """Project on the span of the raw outputs, then centre both n x n operators."""
    J = centering(s)
    projector = kernel(output_span(s, False))
    return 1 - cka(kernel(scaled(s, s.features, True)), J @ projector @ J)


def dynamical_low_rank_centered(s):
    """Project on the span of the centred outputs."""
    projector = kernel(output_span(s, True))
    return 1 - cka(kernel(scaled(s, s.features, True)), projector)


def used_variance(s):
    A = scaled(s, s.features, True)
    inside = output_span(s, True)
    return np.linalg.norm(inside.T @ A) ** 2 / np.linalg.norm(A) ** 2


def output_rank(s):
    return output_span(s, True).shape[1]


def output_rank_raw(s):
    return output_span(s, False).shape[1]


def target_alignment(s):
    return cka(kernel(scaled(s, s.features, True)), kernel(scaled(s, s.targets, True)))


def classes(s):
    """Share, mean (p,) and samples of each class that occurs."""
    found = []
    for c in np.unique(s.labels):
        share = s.share[s.labels == c]
        rows = s.features[s.labels == c]
        mean = (share / share.sum()) @ rows
        mean = mean + (share / share.sum()) @ (rows - mean)
        found.append((share, mean, rows))
    return found


def within_class_variance(s):
    return sum(share @ ((rows - mean) ** 2).sum(axis=1) for share, mean, rows in classes(s))


def between_class_variance(s):
    """What the spread within classes leaves of the mean squared distance from the mean."""
    return np.linalg.norm(scaled(s, s.features, True)) ** 2 - within_class_variance(s)


def nc1(s):
    groups = classes(s)
    m = sum(share.sum() * mean for share, mean, _ in groups)
    within = sum((share[:, None] * (rows - mean)).T @ (rows - mean) for share, mean, rows in groups)
    between = np.stack([np.sqrt(share.sum()) * (mean - m) for share, mean, _ in groups])  # S_B = between^T between
    _, singular, V = np.linalg.svd(between, full_matrices=False)
    kept = singular**2 > TARGET_TOLERANCE * singular[0] ** 2
    V, singular = V[kept], singular[kept]
    return float((np.einsum("kp,pq,kq->k", V, within, V) / singular**2).sum() / len(groups))


def nc1_bounded(s):
    """1 minus the mean squared canonical correlation between features and class indicators."""
    U = spectrum(s, True)[1]
    indicator = np.stack([s.labels == c for c in np.unique(s.labels)], axis=1).astype(float)
    found = span(scaled(s, indicator, True), TARGET_TOLERANCE)
    return 1 - np.linalg.norm(found.T @ U) ** 2 / (indicator.shape[1] - 1)


def class_directions(s):
    means = np.stack([mean for _, mean, _ in classes(s)])
    return means - means.mean(axis=0)


def nc2_equinorm(s):
    norms = np.linalg.norm(class_directions(s), axis=1)
    return np.std(norms) / norms.mean()


def nc2_equiangular(s):
    V = class_directions(s)
    C = len(V)
    found = []
    for a in range(C):
        for b in range(a + 1, C):
            cosine = V[a] @ V[b] / np.linalg.norm(V[a]) / np.linalg.norm(V[b])
            found.append(abs(cosine + 1 / (C - 1)))
    return float(np.mean(found))


def nc3(s):
    V = class_directions(s)
    W = s.head_weight[np.unique(s.labels)]
    return np.linalg.norm(W / np.linalg.norm(W) - V / np.linalg.norm(V)) ** 2


def cdnv(s):
    groups = classes(s)
    spread = [(share / share.sum()) @ ((rows - mean) ** 2).sum(axis=1) for share, mean, rows in groups]
    found = []
    for a in range(len(groups)):
        for b in range(a + 1, len(groups)):
            gap = ((groups[a][1] - groups[b][1]) ** 2).sum()
            found.append((spread[a] + spread[b]) / (2 * gap))
    return float(np.mean(found))


def best_head_error(s):
    """Smallest mean squared error of an affine head on these samples, by least squares on the samples."""
    root = np.sqrt(s.share)[:, None]
    design = np.hstack([s.features - s.share @ s.features, np.ones((len(s.features), 1))])
    fitted = design @ np.linalg.lstsq(root * design, root * s.targets, rcond=1e-7)[0]
    return float((s.share[:, None] * (s.targets - fitted) ** 2).sum())


def readout_r2(s):
    return 1 - best_head_error(s) / np.linalg.norm(scaled(s, s.targets, True)) ** 2


def head_excess_loss(s):
    return float((s.share[:, None] * (s.outputs - s.targets) ** 2).sum()) - best_head_error(s)


def target_alignment_whitened(s):
    projector = kernel(span(scaled(s, s.targets, True), TARGET_TOLERANCE))
    return cka(kernel(scaled(s, s.features, True)), projector)


def collapse_distance(s):
    """Kernel y Dc^(-1/2) y' on the samples: the singular values of the centered targets, not their squares."""
    U, singular, _ = np.linalg.svd(scaled(s, s.targets, True), full_matrices=False)
    kept = singular**2 > TARGET_TOLERANCE * singular[0] ** 2
    collapsed = U[:, kept] @ np.diag(singular[kept]) @ U[:, kept].T
    return 1 - cka(kernel(scaled(s, s.features, True)), collapsed)


def discriminant_information(s):
    groups = classes(s)
    m = sum(share.sum() * mean for share, mean, _ in groups)
    between = sum(share.sum() * np.outer(mean - m, mean - m) for share, mean, _ in groups)
    A = scaled(s, s.features, True)
    return float(np.trace(np.linalg.pinv(A.T @ A, rcond=A.shape[1] * EPSILON, hermitian=True) @ between))


def nrc1(s):
    rho = np.linalg.eigvalsh(kernel(scaled(s, s.features, True)))[::-1]
    return rho[s.targets.shape[1] :].sum() / rho.sum()


def nrc2(s):
    A = scaled(s, s.features, True)
    outside = A - A @ np.linalg.pinv(s.head_weight) @ s.head_weight
    return np.linalg.norm(outside) ** 2 / np.linalg.norm(A) ** 2


def nrc3(s):
    """Brute force over gamma, refined three times around the best."""
    gram = s.head_weight @ s.head_weight.T
    Dc = scaled(s, s.targets, True).T @ scaled(s, s.targets, True)
    values, U = np.linalg.eigh(Dc)
    root = U @ np.diag(np.sqrt(np.maximum(values, 0))) @ U.T
    low, high = 0.0, np.sqrt(max(values[0], 0.0)) * (1 - 1e-9)
    for _ in range(3):
        shifts = np.linspace(low, high, 2001)
        forms = [root - shift * np.eye(len(root)) for shift in shifts]
        found = [np.linalg.norm(gram / np.linalg.norm(gram) - form / np.linalg.norm(form)) ** 2 for form in forms]
        best = int(np.argmin(found))
        low, high = shifts[max(best - 1, 0)], shifts[min(best + 1, 2000)]
    return found[best]


SPECTRAL = {
    "effective_dimension": lambda s: effective_dimension(s),
    "effective_dimension_centered": lambda s: effective_dimension(s, True),
    "participation_ratio": lambda s: participation_ratio(s),
    "participation_ratio_centered": lambda s: participation_ratio(s, True),
    "stable_rank": lambda s: stable_rank(s),
    "stable_rank_centered": lambda s: stable_rank(s, True),
    "rankme": rankme,
    "alpha_req": alpha_req,
    "srank": srank,
}
WITH_OUTPUTS = {
    "dynamical_low_rank": dynamical_low_rank,
    "dynamical_low_rank_centered": dynamical_low_rank_centered,
    "used_variance": used_variance,
    "output_rank": output_rank,
    "output_rank_raw": output_rank_raw,
}
WITH_TARGETS = {
    "target_alignment": target_alignment,
    "target_alignment_whitened": target_alignment_whitened,
    "collapse_distance": collapse_distance,
    "readout_r2": readout_r2,
}
WITH_LABELS = {"within_class_variance": within_class_variance, "between_class_variance": between_class_variance}
WITH_CLASSES = {
    "nc1": nc1,
    "nc1_bounded": nc1_bounded,
    "nc2_equinorm": nc2_equinorm,
    "nc2_equiangular": nc2_equiangular,
    "cdnv": cdnv,
    "discriminant_information": discriminant_information,
}
WITH_HEAD_AND_CLASSES = {"nc3": nc3}
CURVES = {
    "quality": quality,
    "utilization": utilization,
    "cumulative_quality": cumulative_quality,
    "cumulative_utilization": cumulative_utilization,
}


def expected_scalars(s):
    """Name -> twin value for every scalar that these data define."""
    twins = dict(SPECTRAL)
    if s.outputs is not None:
        twins |= WITH_OUTPUTS
    if s.targets is not None and np.ptp(s.targets, axis=0).any():
        twins |= WITH_TARGETS
        if s.outputs is not None and s.outputs.shape == s.targets.shape:
            twins["head_excess_loss"] = head_excess_loss
    if s.labels is not None:
        twins |= WITH_LABELS
    if s.labels is not None and len(np.unique(s.labels)) > 1:
        twins |= WITH_CLASSES | (WITH_HEAD_AND_CLASSES if s.head_weight is not None else {})
    if s.targets is not None and s.labels is None:
        twins["nrc1"] = nrc1
        if s.head_weight is not None:
            twins["nrc2"] = nrc2
            if len(s.head_weight) == s.targets.shape[1]:
                twins["nrc3"] = nrc3
    if len(spectrum(s, True)[0]) < 2:
        del twins["alpha_req"]
    return {name: float(twin(s)) for name, twin in twins.items()}
