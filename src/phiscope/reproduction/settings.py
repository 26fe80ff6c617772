"""The settings of one training, and the name they give to its result."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal, Self

from phiscope.errors import InputError

RECIPE = 1
"""Raised when the same settings begin to give another training, so that old results are not taken for new ones."""

_LATER = MappingProxyType(
    {
        "even_points": 0,
        "decays_frozen": False,
        "alpha": 0.0,
        "cut": "",
        "distortion": "",
        "distorted_share": 0.09,
        "distorted_block": 0.4,
        "distortion_strength": 5.0,
    }
)
"""Settings that came later, with the values that stand for their absence: older results keep their names."""

_UNNAMED = ("layers",)
"""Settings that decide what is kept of a training and not the training: its name does not tell them."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Everything that decides one training.

    Attributes:
        data: "digits", "glyphs", "fashion-mnist", "mnist", "cifar10", "cifar100"; "addition", "subtraction",
            "division"; "diabetes"; "teacher" (digits with three targets of a random
            network, see `phiscope.reproduction.samples`).
        data_settings: further settings of the data as (name, value) pairs.
        n_train: training samples; None takes what the data have.
        n_test: test samples; None takes what the data have.
        train_share: share of a table of arithmetic to train on.
        shuffled: share of the training labels that are replaced by those of other samples.
        code: strength of the label's one-hot code beside each picture whose pixels are in 0..1; None writes none. Test
            pictures carry the code of a random class.
        target_spread: standard deviations of whitened regression targets; empty leaves targets as they are.
        target_scale: factor on the targets of the square loss.
        network: as `phiscope.studies.architectures.build_network` names it.
        width: factor on its widths.
        depth: its depth; None is the published one.
        batch_norm: normalization; None is the published choice.
        init_scale: factor on all initial weights.
        frozen: train the head only; weight decay then acts on the head alone.
        alpha: above 0 the trained model is alpha (f - f0), f0 the outputs of the initial network, and its square loss
            is divided by alpha²: the same as f - f0 against targets / alpha (Chizat et al. 2019). 0 trains f itself.
        layers: keep numbers of every layer at the first and the last measurement, on training samples.
        decays_frozen: with ``frozen`` and adamw, weight decay acts on the hidden layers all the same: they get no
            gradient and shrink.
        loss: "cross-entropy", or "square" (mean over samples and outputs).
        optimizer: "sgd", "adam", or "adamw" (weight decay apart from the gradient).
        learning_rate: at its highest.
        momentum: of sgd.
        betas: of adam and adamw.
        weight_decay: with sgd and adam part of the gradient.
        schedule: "constant", or "cosine" to zero at the last step.
        warmup_steps: the learning rate rises linearly over them.
        batch_size: samples in a step.
        steps: how many to take.
        crops: training pictures are shifted by up to 4 pixels and mirrored at random (what CIFAR trainings do).
        even_points: so many measurements besides, evenly spaced in steps up to the last.
        points: measurements between step 1 and the last step, evenly spaced in log(step); step 0 is measured besides.
        probe: samples of each split that are measured, at most.
        tangent: measure the distance of tangent kernels on so many training samples at the end; 0 does not.
        cut: what is cut off the trained network, each time anew by every rule: "units" of the head's input, "channels"
            of a residual network, or nothing; see `phiscope.studies.cutting`.
        distortion: what stands in the place of parts of the last maps in training: "dropblock", "distortion", or
            nothing; see `phiscope.studies.distorted`.
        distorted_share: share of the maps that is hit at the end of training.
        distorted_block: side of a block as a share of the map's.
        distortion_strength: of the noise.
        seed: decides data, initial weights and the order of the samples.
    """

    data: str
    data_settings: tuple[tuple[str, Any], ...] = ()
    n_train: int | None = None
    n_test: int | None = None
    train_share: float = 0.5
    shuffled: float = 0.0
    code: float | None = None
    target_spread: tuple[float, ...] = ()
    target_scale: float = 1.0
    network: str = "fcn"
    width: float = 1.0
    depth: int | None = None
    batch_norm: bool | None = None
    init_scale: float = 1.0
    frozen: bool = False
    loss: Literal["cross-entropy", "square"] = "cross-entropy"
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: int = 0
    batch_size: int = 64
    steps: int = 1000
    crops: bool = False
    points: int = 8
    probe: int = 2000
    tangent: int = 0
    seed: int = 0
    even_points: int = 0
    decays_frozen: bool = False
    cut: Literal["", "units", "channels"] = ""
    distortion: Literal["", "dropblock", "distortion"] = ""
    distorted_share: float = 0.09
    distorted_block: float = 0.4
    distortion_strength: float = 5.0
    alpha: float = 0.0
    layers: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"a training needs {name} of 1 or more, got {name}={getattr(self, name)}")
        if self.probe < 2:
            raise InputError(f"a measurement needs 2 samples or more, got probe={self.probe}")
        if not 0 <= self.shuffled <= 1:
            raise InputError(f"shuffled is a share of the labels, 0..1, got {self.shuffled}")
        if self.decays_frozen and not (self.frozen and self.optimizer == "adamw"):
            raise InputError("decays_frozen belongs to frozen=True and adamw, whose weight decay needs no gradient")
        if self.target_scale != 1 and self.loss != "square":
            raise InputError("target_scale belongs to the square loss; cross-entropy takes classes")
        self._check_alpha()

    def _check_alpha(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise InputError(f"alpha is a factor above 0 on f - f0, or 0 for f itself, got alpha={self.alpha}")
        if not self.alpha:
            return
        if self.loss != "square":
            raise InputError("alpha belongs to the square loss; it divides the targets")
        # Batch norm and crops would make f0 of a picture depend on the batch it stands in.
        if self.crops or (self.network != "fcn" and self.batch_norm is not False):
            raise InputError("alpha needs outputs of the picture alone: batch_norm=False and crops=False")

    def with_seed(self, seed: int) -> Setup:
        """The same settings with another seed."""
        return replace(self, seed=seed)

    @property
    def key(self) -> str:
        """The file name of the result, without its ending: data, network and a hash of all settings that decide it.

        Example:
            >>> Setup(data="digits").key.startswith("digits-fcn-s0-")
            True
        """
        facts = asdict(self)
        for name in _UNNAMED:
            del facts[name]
        for name, default in _LATER.items():
            if facts[name] == default:
                del facts[name]
        told = json.dumps({"recipe": RECIPE, **facts}, sort_keys=True)
        digest = hashlib.sha256(told.encode()).hexdigest()[:12]
        return f"{self.data}-{self.network}-s{self.seed}-{digest}"

    def measured_steps(self) -> tuple[int, ...]:
        """Steps after which the network is measured: 0, then evenly spaced in log(step), the last one included.

        ``even_points`` come besides.

        Example:
            >>> Setup(data="digits", steps=100, points=3).measured_steps()
            (0, 1, 10, 100)
        """
        last = math.log(self.steps)
        spread = max(self.points - 1, 1)
        between = [round(math.exp(last * index / spread)) for index in range(self.points)]
        even = [round(self.steps * (index + 1) / self.even_points) for index in range(self.even_points)]
        return tuple(sorted({0, *between, *even, self.steps}))

    def changed(self) -> dict[str, Any]:
        """What differs from the default settings, the data and the seed apart."""
        return {
            row.name: getattr(self, row.name)
            for row in fields(self)
            if row.name not in ("data", "seed") and getattr(self, row.name) != row.default
        }

    def facts(self) -> dict[str, Any]:
        """All settings as text, numbers and lists."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Read what `facts` gave, also after a way through JSON."""
        known = {name: _tupled(value) for name, value in facts.items()}
        return cls(**known)


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, (list, tuple)) else value
