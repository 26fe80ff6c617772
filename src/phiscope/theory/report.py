"""A network's kernels layer by layer, beside those of infinite width and, when asked for, the most probable ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from torch import nn

from phiscope.errors import InputError, UnknownNameError
from phiscope.inputs.arrays import as_count
from phiscope.inputs.settings import check_seed, is_word
from phiscope.linalg.products import product, row_products
from phiscope.measurement.gram import diagonalize_kernel, kernel_features
from phiscope.measurement.record import Measurement
from phiscope.metrics.width import alignment_gain, kernel_rescale, kernel_rotate, kernel_spread
from phiscope.theory.fully_connected import FullyConnected, read_network
from phiscope.theory.infinite_width import infinite_kernels
from phiscope.theory.most_probable import MapKernels, map_kernels
from phiscope.theory.setting import PerLayer, Setting, setting_of, values_of
from phiscope.theory.tilted import root_of
from phiscope.typing import FloatArray

if TYPE_CHECKING:
    from phiscope.figures.paper.drawing import Drawing

Which = Literal["measured", "wide", "most_probable"]
"""The network's own kernel, that of infinite width, or the most probable one."""

RANDOM_NETWORKS = 40
"""So many are drawn to see how far a kernel of this width turns by chance."""

BY_CHANCE = (0.025, 0.975)
"""Ends of the interval of these rotations."""


LEAST_SPREAD = 1e-12
"""A kernel has 16 digits; where what tells the inputs apart is a smaller share of it, hardly any of them are left."""


@dataclass(frozen=True, kw_only=True)
class Movement:
    """How one kernel lies to that of infinite width.

    Attributes:
        rescale: the multiple of the reference that is nearest, at least 0.
        rotate: the rotation, the share that no multiple explains, 0..1.
        alignment_gain: CKA with the targets minus that of the reference, -1..1.
    """

    rescale: float
    rotate: float
    alignment_gain: float


@dataclass(frozen=True, kw_only=True)
class LayerKernels:
    """Kernels of one hidden layer on P inputs.

    Attributes:
        name: dotted name of the linear layer before the activation.
        width: its units.
        measured: (g / N) Phi Phi^T + g_b of its activations, shape (P, P); g and g_b are those of the layer that reads
            them.
        wide: the same at infinite width.
        most_probable: the same by `phiscope.theory.map_kernels`; None unless `noise` was given.
        movement: of the measured kernel.
        expected: of the most probable kernel; None unless `noise` was given.
        by_chance: an interval that holds the rotation of a random network of this width, which learned nothing, in 95
            of 100 cases; estimated from 40 random networks, so doubt what is near an end.
    """

    name: str
    width: int
    measured: FloatArray = field(repr=False)
    wide: FloatArray = field(repr=False)
    most_probable: FloatArray | None = field(repr=False)
    movement: Movement
    expected: Movement | None
    by_chance: tuple[float, float]

    @property
    def rescale(self) -> float:
        """Of the measured kernel."""
        return self.movement.rescale

    @property
    def rotate(self) -> float:
        """Of the measured kernel."""
        return self.movement.rotate

    @property
    def alignment_gain(self) -> float:
        """Of the measured kernel."""
        return self.movement.alignment_gain

    def kernel(self, which: Which) -> FloatArray:
        """One of the three, shape (P, P).

        Raises:
            UnknownNameError: another word.
            InputError: the most probable one was not asked for.
        """
        if not is_word(which, get_args(Which)):
            raise UnknownNameError("kernel", str(which), get_args(Which))
        found: FloatArray | None = getattr(self, which)
        if found is None:
            raise InputError("the most probable kernels were not asked for; pass noise= to kernel_report")
        return found

    def measurement(self, which: Which = "measured", targets: Any = None) -> Measurement:
        """The kernel diagonalized: every number and curve that `phiscope.diagonalize_kernel` gives.

        Args:
            which: "measured", "wide" or "most_probable".
            targets: as in `phiscope.diagonalize`.
        """
        return diagonalize_kernel(self.kernel(which), targets=targets)

    def overlap(self, which: Which = "wide", k: int = 10) -> FloatArray:
        """Inner products of eigenfunctions: those of the measured kernel in rows, of another one in columns.

        Args:
            which: "wide" or "most_probable".
            k: how many leading ones of each, of the centered spectrum.

        Returns:
            Shape (k, k) or fewer where a kernel has fewer; -1..1, signs are arbitrary.
        """
        count = as_count(k, name="k")
        own, other = (_eigenfunctions(self.kernel(one))[:, :count] for one in ("measured", which))
        return product(np.ascontiguousarray(own.T), other) / len(own)


def _eigenfunctions(kernel: FloatArray) -> FloatArray:
    return diagonalize_kernel(kernel).eigenfunctions(kernel_features(kernel), centered=True)


@dataclass(frozen=True, kw_only=True)
class KernelReport:
    """A fully connected network beside its theory.

    Attributes:
        layers: hidden layers in forward order.
        activation: name of what lies between the layers.
        weight_variances: g of each linear layer that the theory was given.
        bias_variances: g_b of each linear layer.
        n_inputs: P, the number of inputs.
        theory: what `phiscope.theory.map_kernels` found; None unless `noise` was given.
    """

    layers: tuple[LayerKernels, ...]
    activation: str
    weight_variances: tuple[float, ...]
    bias_variances: tuple[float, ...]
    n_inputs: int
    theory: MapKernels | None = field(repr=False)

    def __str__(self) -> str:
        """A line for each hidden layer."""
        head = f"{self.activation}, P = {self.n_inputs} inputs; the kernel beside that of infinite width"
        return "\n".join((head, *map(_line, self.layers)))

    def figure(self) -> Drawing:
        """Rescaling, rotation and alignment gain, layer by layer (needs matplotlib).

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from phiscope.figures.paper.draw import drawn
        from phiscope.figures.paper.theory_sheets import kernel_sheet

        return drawn(kernel_sheet(self), purpose="KernelReport.figure()")


def _line(layer: LayerKernels) -> str:
    low, high = layer.by_chance
    said = (
        f"  {layer.name}, N {layer.width}: rescale {layer.rescale:.3f}, rotate {layer.rotate:.3f} (by chance {low:.3f} "
        f"to {high:.3f}), alignment gain {layer.alignment_gain:+.3f}"
    )
    if layer.expected is None:
        return said
    expected = layer.expected
    return f"{said}; most probable {expected.rescale:.3f}, {expected.rotate:.3f}, {expected.alignment_gain:+.3f}"


def kernel_report(
    model: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    weight_variance: PerLayer | None = None,
    bias_variance: PerLayer | None = None,
    noise: float | None = None,
    seed: int = 0,
) -> KernelReport:
    """A network's kernels layer by layer beside those of a network of infinite width with the same variances.

    A reference theory, not a diagnosis of a trained production network. The theory is of the Bayesian posterior;
    a network trained by SGD or Adam has no reason to follow it, and a large rotation is no praise. One network's kernel
    also scatters about its mean without having learned anything: `by_chance` says how far.

    Args:
        model: a fully connected network with erf, ReLU or identity between its linear layers; recognized by what it
            does. It is not changed.
        inputs: x of P samples as the model takes it, tens to a few hundred.
        targets: floats (P,) or (P, C) are values; whole numbers from 0 are classes, one column for each.
        weight_variance: g of the prior, one number or one for each linear layer; None reads it from the weights, which
            after a training are no longer those of the prior.
        bias_variance: g_b, the same way.
        noise: kappa; given, the most probable kernels of a network of these widths stand beside the others.
        seed: of the random networks and the base sample.

    Returns:
        For each hidden layer its kernel, the references, and rescaling, rotation and alignment gain.

    Raises:
        InputError: the network is not of the theory's kind, and the message names what is not; targets that are
            constant; what `phiscope.theory.map_kernels` refuses.
        ShapeError: targets of another number of inputs.
        NonFiniteError: NaN or Inf.

    Source: arXiv:2405.10761; the three numbers are phiscope's own.

    Example:
        >>> import torch
        >>> x = torch.randn(12, 5)
        >>> net = nn.Sequential(nn.Linear(5, 400), nn.ReLU(), nn.Linear(400, 1))
        >>> found = kernel_report(net, x, x[:, 0])
        >>> [layer.width for layer in found.layers], found.activation
        ([400], 'relu')
    """
    check_seed(seed)
    network = read_network(model, inputs)
    weights = network.weight_variances if weight_variance is None else weight_variance
    biases = network.bias_variances if bias_variance is None else bias_variance
    setting = setting_of(network.rows, len(network.hidden), network.activation, weights, biases)
    values = values_of(targets, len(network.rows))
    if not np.ptp(values, axis=0).any():
        raise InputError(
            "the targets are constant, so that no kernel can be aligned to them; pass the network's targets"
        )
    theory = _theory(network, setting, targets, noise, seed)
    chance = _by_chance(setting, tuple(layer.shape[1] for layer in network.hidden), seed)
    wide = infinite_kernels(setting).kernels
    layers = tuple(
        _layer(network, setting, index, wide[index], theory, values, chance[index - 1])
        for index in range(1, setting.depth + 1)
    )
    return KernelReport(
        layers=layers,
        activation=network.activation,
        weight_variances=setting.weight_variances,
        bias_variances=setting.bias_variances,
        n_inputs=len(values),
        theory=theory,
    )


def _theory(
    network: FullyConnected, setting: Setting, targets: Any, noise: float | None, seed: int
) -> MapKernels | None:
    if noise is None:
        return None
    return map_kernels(
        network.rows,
        targets,
        tuple(layer.shape[1] for layer in network.hidden),
        setting.depth,
        setting.activation.name,
        setting.weight_variances,
        setting.bias_variances,
        noise,
        seed=seed,
    )


def _layer(
    network: FullyConnected,
    setting: Setting,
    index: int,
    wide: FloatArray,
    theory: MapKernels | None,
    values: FloatArray,
    chance: tuple[float, float],
) -> LayerKernels:
    phi = np.ascontiguousarray(network.hidden[index - 1])
    measured = setting.weight_variances[index] / phi.shape[1] * row_products(phi) + setting.bias_variances[index]
    if not phi.any():
        raise InputError(f"the layer {network.layers[index - 1].name!r} is zero on all inputs and has no kernel")
    _check_spread(network.layers[index - 1].name, measured, wide)
    probable = None if theory is None else theory.kernels[index]
    return LayerKernels(
        name=network.layers[index - 1].name,
        width=phi.shape[1],
        measured=measured,
        wide=wide,
        most_probable=probable,
        movement=movement_of(measured, wide, values),
        expected=None if probable is None else movement_of(probable, wide, values),
        by_chance=chance,
    )


def _check_spread(name: str, *kernels: FloatArray) -> None:
    spread = min(map(kernel_spread, kernels))
    if spread <= LEAST_SPREAD:
        raise InputError(
            f"behind {name!r} the kernel is the same for all inputs but for {spread:.1g} of it, which is rounding "
            "beside what biases give; expected inputs that differ as much as those the network was trained on"
        )


def movement_of(kernel: FloatArray, reference: FloatArray, values: FloatArray) -> Movement:
    """Rescaling, rotation and alignment gain of a kernel against a reference.

    Args:
        kernel: shape (P, P).
        reference: shape (P, P).
        values: targets, shape (P, C).

    Example:
        >>> movement_of(2 * np.eye(3), np.eye(3), np.array([[1.0], [0.0], [0.0]])).rescale
        2.0
    """
    return Movement(
        rescale=kernel_rescale(kernel, reference),
        rotate=kernel_rotate(kernel, reference),
        alignment_gain=alignment_gain(kernel, reference, values),
    )


def _by_chance(setting: Setting, widths: tuple[int, ...], seed: int) -> list[tuple[float, float]]:
    """The interval of each layer's rotation over random networks."""
    generator = np.random.default_rng(seed)
    wide = infinite_kernels(setting).kernels
    first = root_of(setting.input_kernel)
    rotations: list[list[float]] = [[] for _ in widths]
    for _ in range(RANDOM_NETWORKS):
        root = first
        for index, width in enumerate(widths, start=1):
            # Of a layer only its preactivations on these inputs matter, Gaussian with the kernel below.
            h = product(root, generator.standard_normal((len(root), width)))
            made = setting.weight_variances[index] / width * row_products(setting.activation.value(h))
            made += setting.bias_variances[index]
            rotations[index - 1].append(kernel_rotate(made, wide[index]))
            root = root_of(made) if index < len(widths) else root
    # Of n draws the k-th has k / (n + 1) of all networks below it; NumPy's default, (k - 1) / (n - 1), would hold
    # 0.95 x 39 / 41 = 90 % between these ends.
    ends = (np.quantile(one, BY_CHANCE, method="weibull") for one in rotations)
    return [(float(low), float(high)) for low, high in ends]
