"""A network's kernel beside that of infinite width, and whether signals live through its layers."""

from __future__ import annotations

import math

import numpy as np

from phiscope.glossary.definition import TRANSFORMATIONS, Definition, invariant
from phiscope.linalg.products import row_products
from phiscope.typing import FloatArray


def kernel_rescale(kernel: FloatArray, reference: FloatArray) -> float:
    """s = <K, K0> / <K0, K0>: the multiple of K0 that is nearest to K; at least 0 for positive kernels.

    Args:
        kernel: K, shape (P, P).
        reference: K0, shape (P, P), not zero.

    Example:
        >>> kernel_rescale(3 * np.eye(2), np.eye(2))
        3.0
    """
    size = float(np.abs(reference).max())
    scaled = reference / size
    return float(np.vdot(kernel, scaled) / np.vdot(scaled, scaled)) / size


def kernel_rotate(kernel: FloatArray, reference: FloatArray) -> float:
    """norm(K - s K0) / norm K with s the rescale: the share of K that no multiple of K0 explains; 0..1.

    Args:
        kernel: K, shape (P, P), not zero.
        reference: K0, shape (P, P), not zero.

    Example:
        >>> kernel_rotate(3 * np.eye(2), np.eye(2)), kernel_rotate(np.diag([1.0, 0.0]), np.diag([0.0, 1.0]))
        (0.0, 1.0)
    """
    kernel = _scaled(kernel)
    rest = kernel - kernel_rescale(kernel, reference) * reference
    return min(float(np.sqrt(np.vdot(rest, rest) / np.vdot(kernel, kernel))), 1.0)


def _scaled(kernel: FloatArray) -> FloatArray:
    """The kernel in units of its largest entry: squares of small ones would be zero."""
    return np.asarray(kernel / float(np.abs(kernel).max()))


def centered_alignment(first: FloatArray, second: FloatArray) -> float:
    """CKA of two kernels on the same samples: the cosine of both after centering; -1..1, 0..1 for positive ones.

    Args:
        first: shape (P, P), not constant.
        second: shape (P, P), not constant.

    Source: Cortes, Mohri and Rostamizadeh 2012; Kornblith et al. 2019, arXiv:1905.00414.

    Example:
        >>> centered_alignment(np.eye(3), 2 * np.eye(3) + 5).__round__(12)
        1.0
    """
    a, b = (_centered(_scaled(one)) for one in (first, second))
    sizes = math.sqrt(float(np.vdot(a, a))) * math.sqrt(float(np.vdot(b, b)))
    return min(max(float(np.vdot(a, b)) / sizes, -1.0), 1.0)


def _centered(kernel: FloatArray) -> FloatArray:
    columns = kernel - kernel.mean(axis=0)
    return np.asarray(columns - columns.mean(axis=1, keepdims=True))


def kernel_spread(kernel: FloatArray) -> float:
    """norm of the centered kernel / norm K: the share of it that tells the samples apart; 0..1.

    Args:
        kernel: K, shape (P, P), not zero.

    Example:
        >>> kernel_spread(np.ones((3, 3))), kernel_spread(np.array([[1.0, -1.0], [-1.0, 1.0]]))
        (0.0, 1.0)
    """
    scaled = _scaled(kernel)
    centered = _centered(scaled)
    return float(np.sqrt(np.vdot(centered, centered) / np.vdot(scaled, scaled)))


def alignment_gain(kernel: FloatArray, reference: FloatArray, targets: FloatArray) -> float:
    """CKA(K, Y Y^T) - CKA(K0, Y Y^T): how much nearer to the targets the kernel is than its reference; -1..1.

    Args:
        kernel: K, shape (P, P).
        reference: K0, shape (P, P).
        targets: Y, shape (P, C), not constant.

    Example:
        >>> y = np.array([[1.0], [-1.0]])
        >>> alignment_gain(y @ y.T, np.eye(2) + y @ y.T, y)
        0.0
    """
    # Centered before the product: the kernel of targets far from zero has no digits left for their differences.
    goal = row_products(np.ascontiguousarray(targets - targets.mean(axis=0)))
    return centered_alignment(kernel, goal) - centered_alignment(reference, goal)


_FIXED = "with g and g_b fixed"
_READ = "with both read from the weights and the layer below scaled along"

_NO_FEATURES = invariant(*TRANSFORMATIONS)
"""Numbers of the theory alone, which no change of a network's features can move."""

_THEIR_OWN = "Beside a network trained by SGD it is a distance to a reference, and no claim that the reference holds."

DEFINITIONS = (
    Definition(
        name="kernel_rescale",
        title="rescaling of the kernel",
        symbol="s",
        aliases=("rescale", "rescaling"),
        range=">= 0",
        low=0.0,
        direction="1: as strong as at infinite width; smaller, larger: weaker, stronger",
        centering="none",
        invariances=invariant("orthogonal", "permutation", isotropic_scaling=_READ, invertible_outputs=_FIXED),
        equation="⟨K, K₀⟩ / ⟨K₀, K₀⟩, K = (g/N) Φ Φᵀ + g_b, K₀ the kernel at infinite width",
        meaning="The multiple of the infinite-width kernel that is nearest to a layer's own.",
        needs=("features", "samples"),
        source="phiscope, after arXiv:2405.10761",
        ours=True,
        caveat=_THEIR_OWN,
    ),
    Definition(
        name="kernel_rotate",
        title="rotation of the kernel",
        symbol="K⊥",
        aliases=("rotate",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="0: a multiple of the kernel at infinite width; large: another kernel",
        centering="none",
        invariances=invariant(
            "orthogonal",
            "permutation",
            isotropic_scaling=f"{_FIXED} only at g_b = 0; {_READ}",
            invertible_outputs=_FIXED,
        ),
        equation="‖K − s K₀‖ / ‖K‖",
        meaning="The share of a layer's kernel that no multiple of the infinite-width kernel explains. Under the "
        "theory it falls like 1/N; a random network's own scatter falls like 1/√N.",
        needs=("features", "samples"),
        source="phiscope, after arXiv:2405.10761",
        ours=True,
        caveat="Not centered: a large g_b adds a constant to both kernels and hides rotation. One network's kernel "
        "scatters about its mean even without any training: compare with the same network at initialization. "
        f"{_THEIR_OWN}",
    ),
    Definition(
        name="alignment_gain",
        title="alignment gain",
        symbol="ΔA",
        aliases=("gain of alignment",),
        range="−1 .. 1",
        low=-1.0,
        high=1.0,
        direction="around 0: no nearer to the targets than at infinite width; large: turned toward them",
        centering="centered",
        invariances=invariant("orthogonal", "permutation", "translation", "isotropic_scaling", "invertible_outputs"),
        equation="CKA(K, Y Yᵀ) − CKA(K₀, Y Yᵀ)",
        meaning="How much more a layer's kernel is like that of the targets than the infinite-width kernel is.",
        needs=("features", "targets", "samples"),
        source="phiscope, after arXiv:2405.10761",
        ours=True,
        caveat=_THEIR_OWN,
    ),
    Definition(
        name="signal_slope",
        title="slope of signals",
        symbol="χ",
        aliases=("chi", "criticality", "critical point"),
        range=">= 0",
        low=0.0,
        direction="below 1: differences between inputs die out over depth; 1: critical; above 1: they grow",
        centering="none",
        invariances=invariant(
            "permutation", orthogonal="where the layer that makes the features is linear and turns with them"
        ),
        equation="g ⟨φ′(h)²⟩ over h ~ N(0, q), q = g ⟨φ(h)²⟩ + g_b",
        meaning="The factor by which the squared difference of two near inputs grows from layer to layer of a wide "
        "network; the difference itself grows by √χ. Read for each linear layer from its own weights and biases, g and "
        "g_b.",
        needs=("weights",),
        source="Schoenholz et al. 2017, arXiv:1611.01232",
        caveat="Of a prior with these variances of weights and biases, and so of the parametrization: with ReLU, "
        "φ → 2φ and W → W/2 leave the function as it is and move χ. PyTorch's default initialization has g = 1/3.",
    ),
    Definition(
        name="map_residual",
        title="residual of the most probable kernels",
        symbol="r_MAP",
        aliases=("residual",),
        range=">= 0, at most 10⁻³",
        low=0.0,
        high=1e-3,
        direction="0: solved; above 10⁻³ nothing is returned",
        centering="none",
        invariances=_NO_FEATURES,
        equation="max over layers of ‖Cₐ′ − Cₐ‖ / ‖Cₐ′‖ and ‖Tₐ′ − Tₐ‖ / ‖Tₐ′‖ after one more undamped step",
        meaning="How far the iteration for the kernels of a network of finite width still is from its solution.",
        needs=("samples", "targets"),
        source="phiscope",
        ours=True,
        caveat="Of inputs and targets alone: it reads no features, so that no change of them moves it. Says nothing of "
        "the error of the base sample: pass another seed to see that one.",
    ),
    Definition(
        name="map_sample_share",
        title="share of the base sample",
        symbol="n_eff / n",
        aliases=("sample share",),
        range="0 .. 1",
        low=0.0,
        high=1.0,
        direction="1: no tilt; small: few of the sample's points decide the averages",
        centering="none",
        invariances=_NO_FEATURES,
        equation="least over layers of (Σ w)² / (n Σ w²), w = exp((g/N) φᵀ Tₐ φ)",
        meaning="How evenly the tilt toward the targets weighs the base sample.",
        needs=("samples", "targets"),
        source="phiscope; effective sample size by Kong 1992",
        ours=True,
        caveat="Of inputs and targets alone: it reads no features, so that no change of them moves it. Below 0.01 "
        "nothing is returned; below about 0.1 compare two seeds.",
    ),
)

PLACES = {
    "kernel_rescale": "phiscope.theory.kernel_report(model, inputs, targets).layers[a].rescale",
    "kernel_rotate": "phiscope.theory.kernel_report(model, inputs, targets).layers[a].rotate",
    "alignment_gain": "phiscope.theory.kernel_report(model, inputs, targets).layers[a].alignment_gain",
    "signal_slope": "phiscope.theory.criticality(model).layers[a].slope",
    "map_residual": "phiscope.theory.map_kernels(inputs, targets, width=N).residual",
    "map_sample_share": "phiscope.theory.map_kernels(inputs, targets, width=N).sample_share",
}
"""Where each of these numbers is read."""
