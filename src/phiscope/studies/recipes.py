"""The built-in studies as configuration; nothing here trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from phiscope.errors import InputError
from phiscope.studies.datasets.bundled import AdditionSettings, DataSettings, DiabetesSettings, DigitsSettings
from phiscope.studies.datasets.images import ImageSettings
from phiscope.studies.networks import ConvNetSettings, FullyConnectedSettings, NetworkSettings, TransformerSettings


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """Adam, with weight decay decoupled from the gradient (AdamW) when there is any.

    Attributes:
        learning_rate: after the warm-up.
        weight_decay: share of a weight taken off per step and unit of learning rate.
        betas: decay of the two moments.
        warmup_steps: steps over which the learning rate rises linearly from zero.
        final_share: share of the learning rate that is left at the last step; it falls linearly over the training.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    warmup_steps: int = 0
    final_share: float = 1.0

    def learning_rate_at(self, step: int, last: int) -> float:
        """Learning rate of a step, counted from 1, in a training of ``last`` steps.

        Example:
            >>> OptimizerSettings(learning_rate=0.1, warmup_steps=10).learning_rate_at(5, 100)
            0.05
            >>> OptimizerSettings(learning_rate=0.1, final_share=0.5).learning_rate_at(100, 100)
            0.05
        """
        risen = min(1.0, step / max(self.warmup_steps, 1))
        return self.learning_rate * risen * (1 - (1 - self.final_share) * step / last)


@dataclass(frozen=True, kw_only=True)
class StopRule:
    """End the training early, once a number has been high enough at several records in a row.

    Attributes:
        scalar: name of a recorded scalar.
        at_least: from here on it is high enough.
        records: so many in a row.
    """

    scalar: str
    at_least: float
    records: int = 3


@dataclass(frozen=True, kw_only=True)
class Study:
    """One study: data, network, and how the one is trained on the other.

    Attributes:
        name: as typed on the command line.
        title: one line.
        description: what to look for, for somebody who has not read the paper.
        data: where the samples come from.
        network: what is trained.
        loss: ``"cross-entropy"`` for classes, ``"square"`` (mean over samples and outputs) for values.
        optimizer: its settings.
        batch_size: samples in a step; the last batch of an epoch may be smaller.
        epochs: passes over the training split; the most, when there is a stop rule.
        every: a record every so many epochs, besides epoch 0, those of ``also`` and the last one.
        also: further epochs with a record.
        freeze_features: train only the head.
        stop: when to end early; None trains all epochs.
        distortion: what stands in the place of parts of the last maps in training: "dropblock", "distortion", nothing.
        afterwards: what is done with the trained network: "cut units", "compare arms" or nothing; see
            `phiscope.studies.afterwards`.
    """

    name: str
    title: str
    description: str
    data: DataSettings
    network: NetworkSettings
    loss: Literal["cross-entropy", "square"] = "cross-entropy"
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    batch_size: int = 32
    epochs: int = 20
    every: int = 1
    also: tuple[int, ...] = ()
    freeze_features: bool = False
    stop: StopRule | None = None
    distortion: Literal["", "dropblock", "distortion"] = ""
    afterwards: Literal["", "cut units", "compare arms"] = ""

    def __post_init__(self) -> None:
        if min(self.batch_size, self.epochs, self.every) < 1:
            raise InputError(
                f"a study needs batch_size, epochs and every of 1 or more, got {self.batch_size}, {self.epochs} "
                f"and {self.every}"
            )

    def is_recorded(self, epoch: int, last: int) -> bool:
        """Say whether an epoch gets a record when ``last`` is the final one."""
        return epoch % self.every == 0 or epoch in self.also or epoch == last

    def settings(self) -> dict[str, Any]:
        """The configuration as text and numbers, for a run's header."""
        told = {
            "loss": self.loss,
            "optimizer": "AdamW" if self.optimizer.weight_decay else "Adam",
            **asdict(self.optimizer),
            "batch_size": self.batch_size,
            "freeze_features": self.freeze_features,
            **{f"data_{name}": value for name, value in _facts(self.data).items()},
            **{f"network_{name}": value for name, value in _facts(self.network).items()},
        }
        told |= {"distortion": self.distortion} if self.distortion else {}
        if self.stop is not None:
            told["stops_when"] = f"{self.stop.scalar} >= {self.stop.at_least:g} at {self.stop.records} records in a row"
        return told


@dataclass(frozen=True, kw_only=True)
class WidthSweep:
    """A study of another kind: networks of growing width under the posterior, beside the theory; nothing is trained.

    Attributes:
        name: as typed on the command line.
        title: one line.
        description: what to look for.
        widths: units of each hidden layer, one record for each; they grow.
        depth: hidden layers.
        weight_variance: g of every layer.
        bias_variance: g_b of every layer.
        noise: variance of the outputs' noise.
        draws: networks drawn at each width.
    """

    name: str
    title: str
    description: str
    widths: tuple[int, ...]
    depth: int = 1
    weight_variance: float = 1.5
    bias_variance: float = 0.0
    noise: float = 0.1
    draws: int = 200_000

    def __post_init__(self) -> None:
        if not self.widths or list(self.widths) != sorted(set(self.widths)) or self.widths[0] < 1:
            raise InputError(f"a sweep needs widths that grow, from 1 on, got {self.widths}")

    @property
    def epochs(self) -> int:
        """How many widths there are: what a sweep counts in place of epochs."""
        return len(self.widths)

    def settings(self) -> dict[str, Any]:
        """The configuration as text and numbers, for a run's header."""
        told = {name: value for name, value in asdict(self).items() if name not in ("name", "title", "description")}
        return {**told, "widths": list(self.widths), "activation": "erf"}


def _facts(settings: Any) -> dict[str, Any]:
    return asdict(settings)


_DIGITS = DigitsSettings()
_CONVNET = ConvNetSettings()
# A constant rate of this size now and then throws a network that fits perfectly off its solution for an epoch.
_FALLING_RATE = OptimizerSettings(learning_rate=2e-3, final_share=0.1)
_FASHION = ImageSettings(name="fashion-mnist", n_train=6000, n_test=2000)  # a tenth and a fifth: minutes, not hours

_ALL: tuple[Study | WidthSweep, ...] = (
    Study(
        name="digits-cnn",
        title="small convolutional network with batch norm on handwritten digits",
        description="The minimal-feature regime forms within a few epochs: ten eigenfunctions, as many as classes, "
        "rise over all others, come near to equal strength and hold the whole output.",
        data=_DIGITS,
        network=_CONVNET,
        optimizer=_FALLING_RATE,
    ),
    Study(
        name="digits-fcn",
        title="fully connected network, 3 x 256, cross-entropy, on the same digits",
        description="The digits are learned here too, but no gap opens after the tenth eigenvalue, the strengths stay "
        "unequal, and D_LR stays near 0.3.",
        data=_DIGITS,
        network=FullyConnectedSettings(),
        optimizer=_FALLING_RATE,
    ),
    Study(
        name="digits-frozen",
        title="the convolutional network with its feature map frozen at initialization",
        description="Coefficient learning: only the head trains. Features, spectrum and quality stay as they were "
        "at initialization (batch norm included: it stays in eval mode), and only what the head uses of them changes.",
        data=_DIGITS,
        network=_CONVNET,
        optimizer=OptimizerSettings(learning_rate=1e-2),
        freeze_features=True,
    ),
    Study(
        name="fashion-cnn",
        title="convolutional network with batch norm on 6,000 pictures of Fashion-MNIST",
        description="Real pictures whose classes overlap (shirts, coats, pullovers): the ten eigenfunctions of the "
        "minimal regime form here too, but slower and less equal than on digits, and less so on test pictures.",
        data=_FASHION,
        network=ConvNetSettings(stages=((16,), (32,), (64,), (64,))),
        optimizer=_FALLING_RATE,
        batch_size=64,
        epochs=15,
    ),
    Study(
        name="fashion-fcn",
        title="fully connected network, 3 x 256, cross-entropy, on the same pictures",
        description="As many pictures are read right in training, but the strengths stay unequal and no gap opens "
        "after the tenth eigenvalue.",
        data=_FASHION,
        network=FullyConnectedSettings(),
        optimizer=_FALLING_RATE,
        batch_size=64,
        epochs=15,
    ),
    Study(
        name="diabetes-mlp",
        title="regression of disease progression with a small fully connected network",
        description="One output: within a few epochs one centered eigenfunction takes over and D_LR falls from far "
        "above to below 0.1; then the network begins to fit the noise, D_LR rises and the test R² falls.",
        data=DiabetesSettings(),
        network=FullyConnectedSettings(widths=(64, 64)),
        loss="square",
        epochs=40,
    ),
    Study(
        name="modular-addition",
        title="two-layer transformer on addition mod 97, until it groks",
        description="The training pairs are known by heart long before the test pairs are right. Half of the test "
        "pairs come early, as mirrors of training pairs; the other half comes when the features change.",
        data=AdditionSettings(),
        network=TransformerSettings(),
        optimizer=OptimizerSettings(weight_decay=1.0, betas=(0.9, 0.98), warmup_steps=10),
        batch_size=512,
        epochs=400,
        every=10,
        also=(1, 2, 3, 5),
        stop=StopRule(scalar="test_accuracy", at_least=0.99, records=4),
    ),
    WidthSweep(
        name="width-theory",
        title="networks of growing width under the posterior, beside the theory of their kernels",
        description="The kernel of a network of infinite width ignores the targets; at finite width it turns toward "
        "them, and the less the wider it is: rotation and alignment gain fall about like 1/N, "
        "the theory's curve a fifth below at the narrowest and 1 % at wide ones. Networks are drawn from the prior and "
        "weighed by their fit, which is what the theory is of; nothing is trained, and nothing here is a statement "
        "about SGD.",
        widths=(10, 16, 25, 40, 63, 100, 160, 250, 400),
    ),
    Study(
        name="pruning",
        title="units of a small network cut by every rule, eight seeds, on the same digits",
        description="After the training the last 64 units of eight networks are cut by every rule, with what stays "
        "taking over and without, and the observed one loses its eigenfeatures one by one; both pictures are on the "
        "page. Taking over matters more than the rule.",
        data=DigitsSettings(n_train=1300),
        network=FullyConnectedSettings(widths=(128, 64)),
        optimizer=OptimizerSettings(learning_rate=2e-3),
        epochs=40,
        every=5,
        afterwards="cut units",
    ),
    Study(
        name="distortion",
        title="zeros or noise in parts of the last maps, five seeds each, on few digits",
        description="The observed network is trained with noise in the place of blocks of its last maps. Afterwards "
        "five networks each are trained with nothing, with zeros (DropBlock) and with noise there, on equal shares of "
        "the maps; the page has the differences with their intervals.",
        data=DigitsSettings(n_train=300),
        network=ConvNetSettings(stages=((16,), (32,), (32,))),
        optimizer=_FALLING_RATE,
        epochs=20,
        distortion="distortion",
        afterwards="compare arms",
    ),
)

STUDIES: Mapping[str, Study | WidthSweep] = MappingProxyType({study.name: study for study in _ALL})
"""Every built-in study by its name."""
