"""Two feature maps on the same samples: what became of each eigenfunction, and how alike the kernels are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from phiscope.analysis.pairs import Pair, paired, unbiased_similarity
from phiscope.errors import InputError, MissingNumberError
from phiscope.inputs.arrays import as_count
from phiscope.inputs.settings import check_flag
from phiscope.linalg.products import product
from phiscope.metrics import definition_of
from phiscope.metrics.comparison import PERSISTS, persistence, principal_angles
from phiscope.metrics.similarity import kernel_similarity
from phiscope.metrics.tables import html_table, text_table
from phiscope.spectrum.clusters import cluster_ends, degenerate_clusters
from phiscope.spectrum.eigensystem import Eigensystem, diagonalize_operator
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

SHOWN = 12
"""So many leading eigenfunctions are listed when a comparison is printed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two feature maps a and b on the same samples; all arrays are float64.

    Attributes:
        overlap: <e_j^a|e_k^b> = E[e_j^a e_k^b], shape (k_a, k_b), -1..1. Signs are arbitrary; inside a cluster only
            sums of squares mean something.
        principal_angles: between the spans of the `k` leading eigenfunctions, radians, ascending, 0..pi/2.
        persistence: for each e_j^a its squared norm inside the span of b's leading eigenfunctions, up to the end of
            the cluster of b that holds the end of the cluster of j; shape (k_a,), 0..1. Phiscope's own definition.
        depths: how many leading eigenfunctions of b that is, for each j, shape (k_a,).
        k: how many leading eigenfunctions of each map the principal angles are between.
        centered: True for the eigenfunctions of the covariances, False for those of the second moments.
        numbers: cka and cka_unbiased; both are centered in either case.
        absent: numbers that cannot be given here, with the reason.
        eigenvalues: of map a and of map b, shapes (k_a,) and (k_b,).
        clusters: ranges of nearly equal eigenvalues, of map a and of map b.
        n_samples: number of samples with positive weight.
        n_features: p_a and p_b.
        warnings: what a reader has to know first.
    """

    overlap: FloatArray
    principal_angles: FloatArray
    persistence: FloatArray
    depths: tuple[int, ...]
    k: int
    centered: bool
    numbers: Mapping[str, float]
    absent: Mapping[str, str] = field(default_factory=dict)
    eigenvalues: tuple[FloatArray, FloatArray]
    clusters: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]
    n_samples: int
    n_features: tuple[int, int]
    warnings: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> float:
        """``c["cka"]`` or ``c["cka_unbiased"]``.

        Raises:
            MissingNumberError: the number cannot be given here; the message says why.
            UnknownNameError: there is no such number.
        """
        if name in self.numbers:
            return self.numbers[name]
        reason = self.absent.get(name, "a comparison has cka and cka_unbiased")
        raise MissingNumberError(definition_of(name).name, reason)

    @property
    def cka(self) -> float:
        """Linear CKA, 0..1, biased upward for few samples."""
        return self["cka"]

    @property
    def cka_unbiased(self) -> float:
        """CKA from unbiased HSIC estimates, -1..1.

        Raises:
            MissingNumberError: fewer than 4 samples, unequal weights, or one sample stands alone against the rest.
        """
        return self["cka_unbiased"]

    @property
    def persisting(self) -> tuple[int, ...]:
        """Which eigenfunctions of a persist in b (persistence at least 0.9), counted from 0."""
        return tuple(np.flatnonzero(self.persistence >= PERSISTS).tolist())

    def angles(self, k: int) -> FloatArray:
        """Principal angles between the spans of the k leading eigenfunctions of each map, in radians.

        Raises:
            InputError: k is not positive.
        """
        if k < 1:
            raise InputError(f"k is {k}, expected how many leading eigenfunctions to take, at least 1")
        return principal_angles(self.overlap[:k, :k])

    def persistence_within(self, k: int) -> FloatArray:
        """Squared norm of every e_j^a inside the span of the k leading eigenfunctions of b, shape (k_a,), 0..1."""
        return persistence(self.overlap, [k] * len(self.overlap))

    def figure(self) -> Drawing:
        """Squared overlaps as a heat map with the clusters marked (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        # As for a measurement: reading numbers never loads a drawing library.
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.sheets import comparison_sheet

        return drawn(comparison_sheet(self), purpose="Comparison.figure()")

    def __str__(self) -> str:
        """The table a person reads."""
        lines = [text_table(self._header(), self.numbers, self.absent, [("warning", text) for text in self.warnings])]
        first = self.eigenvalues[0]
        shown = min(SHOWN, len(first))
        lines.append(
            f"  {'k':>4} {'rho_k^a/rho_1':>14} {'best in b':>10} {'overlap^2':>10} {'persistence':>12}  cluster"
        )
        inside = {j: f"{start + 1}..{stop}" for start, stop in self.clusters[0] for j in range(start, stop)}
        for j in range(shown):
            best = int(np.argmax(self.overlap[j] ** 2))
            lines.append(
                f"  {j + 1:>4} {first[j] / first[0]:>14.4g} {best + 1:>10} {self.overlap[j, best] ** 2:>10.3f} "
                f"{self.persistence[j]:>12.3f}  {inside.get(j, '')}".rstrip()
            )
        kept = len(self.persisting)
        lines.append(f"  {kept} of {len(first)} eigenfunctions of a persist in b (share >= {PERSISTS:g})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """One line; ``print`` shows the whole table."""
        return f"<Comparison n={self.n_samples} p={self.n_features} cka={self.cka:.4g}>"

    def _repr_html_(self) -> str:
        """The picture in a notebook, with the numbers folded below."""
        from phiscope.figures.paper.notebook import shown

        table = html_table(self._header(), self.numbers, [])
        return shown("", [self.figure], f"{self._header()}: {len(self.numbers)} numbers", table, self.warnings)

    def _header(self) -> str:
        p_a, p_b = self.n_features
        reading = "centered" if self.centered else "raw"
        return f"Comparison ({reading} eigenfunctions): {self.n_samples} samples, {p_a} and {p_b} features"


def compare(
    features_a: Any, features_b: Any, *, weights: Any = None, centered: bool = True, k: int | None = None
) -> Comparison:
    """Compare two feature maps on the same samples: two times, two layers, two seeds, two networks.

    Row i of both arrays has to belong to the same sample. Memory grows with (p_a + p_b)^2, or with n (p_a + p_b)
    when there are fewer samples than features; never with n^2 and p^2 both. Constant offsets of the features,
    however large, change nothing in the centered reading.

    Args:
        features_a: shape (n, p_a), any array-like, any precision.
        features_b: shape (n, p_b); p_b may differ.
        weights: non-negative sample weights, shape (n,).
        centered: eigenfunctions of the covariances; False takes those of the second moments, one of which is
            often nearly the constant function. CKA is centered in either case.
        k: how many leading eigenfunctions the principal angles are between; None takes all of both.

    Returns:
        The comparison.

    Raises:
        ShapeError: the arrays are not two-dimensional or differ in length.
        InputError: features that are constant on these samples, or k below 1.
        NonFiniteError: NaN or Inf.
        EmptyDataError: fewer than two samples.

    Source: CKA Kornblith et al. 2019, unbiased Song et al. 2012 and Nguyen et al. 2021, angles Bjorck and Golub
        1973; persistence is phiscope's own.

    Example:
        >>> import itertools
        >>> signs = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
        >>> c = compare(signs[:, :2] + 1000, 3 * signs[:, [1]])
        >>> round(c.cka, 12) == round(0.5**0.5, 12), c.persistence.round(9).sum().tolist()
        (True, 1.0)
    """
    check_flag(centered, name="centered")
    k = None if k is None else as_count(k, name="k")
    pair = paired(features_a, features_b, weights)
    numbers = {"cka": kernel_similarity_of(pair)}
    unbiased, reason = unbiased_similarity(pair)
    absent = {}
    if unbiased is None:
        absent["cka_unbiased"] = reason
    else:
        numbers["cka_unbiased"] = unbiased
    first, second = _systems(pair, centered)
    overlap = _overlap(pair, first, second, centered)
    clusters = (
        degenerate_clusters(first.eigenvalues, n_samples=pair.effective_samples),
        degenerate_clusters(second.eigenvalues, n_samples=pair.effective_samples),
    )
    depths = _depths(overlap.shape, clusters)
    taken = min(*overlap.shape) if k is None else min(k, *overlap.shape)
    return Comparison(
        overlap=overlap,
        # All of both spans, which may differ in size; or as many of one as of the other.
        principal_angles=principal_angles(overlap if k is None else overlap[:k, :k]),
        persistence=persistence(overlap, depths),
        depths=tuple(depths),
        k=taken,
        centered=centered,
        numbers=numbers,
        absent=absent,
        eigenvalues=(first.eigenvalues, second.eigenvalues),
        clusters=clusters,
        n_samples=pair.n_samples,
        n_features=(pair.first.size, pair.second.size),
        warnings=_warnings(overlap.shape if k is None else (taken, taken), pair.n_samples, centered),
    )


def kernel_similarity_of(pair: Pair) -> float:
    """Biased linear CKA of a pair."""
    return kernel_similarity(pair.cross(), pair.first.squared_norm(), pair.second.squared_norm())


def _systems(pair: Pair, centered: bool) -> tuple[Eigensystem, Eigensystem]:
    systems = []
    for operator, mean in ((pair.first, pair.first_mean), (pair.second, pair.second_mean)):
        system = diagonalize_operator(operator if centered else operator.plus_outer(mean))
        systems.append(Eigensystem(eigenvalues=system.eigenvalues, eigenvectors=system.oriented(None)))
    return systems[0], systems[1]


def _overlap(pair: Pair, first: Eigensystem, second: Eigensystem, centered: bool) -> FloatArray:
    left = first.eigenvectors / np.sqrt(first.eigenvalues)
    right = second.eigenvectors / np.sqrt(second.eigenvalues)
    overlap = pair.between(left, right)
    if not centered:
        overlap = overlap + np.outer(product(pair.first_mean, left), product(pair.second_mean, right))
    # Cauchy-Schwarz bounds it by 1; beyond that is rounding of the smallest eigenvalues.
    return np.clip(overlap, -1.0, 1.0)


def _depths(shape: tuple[int, ...], clusters: tuple[tuple[tuple[int, int], ...], ...]) -> list[int]:
    """How deep into b persistence looks: as deep as j, but never into the middle of a cluster of either map."""
    first = cluster_ends(shape[0], clusters[0])
    second = cluster_ends(shape[1], clusters[1])
    return [second[min(end, shape[1]) - 1] for end in first]


def _warnings(shape: tuple[int, ...], n_samples: int, centered: bool) -> tuple[str, ...]:
    room = n_samples - 1 if centered else n_samples
    if sum(shape) <= room:
        return ()
    return (
        f"spans of {shape[0]} and {shape[1]} functions share the {room} dimensions that {n_samples} samples leave, so "
        f"at least {sum(shape) - room} directions coincide whatever the maps are; pass a smaller k or use more samples",
    )
