"""Knobs with a known effect on how lazy training is: what D_LR says of each, and what the comparators say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from phiscope.reproduction.claims import Claim, moves
from phiscope.reproduction.families.code import TORCHS_OWN
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium
from phiscope.reproduction.outcome import WITHIN_PER_BETWEEN
from phiscope.reproduction.settings import Setup

_BASE = Setup(
    data="digits",
    n_train=1400,
    network="fcn",
    width=0.25,
    depth=2,
    init_scale=TORCHS_OWN,
    loss="square",
    optimizer="adamw",
    learning_rate=1e-3,
    batch_size=64,
    steps=2200,
    tangent=60,
)


_BASE_MEDIUM = trained_for(
    60,
    network="fcn",
    width=0.5,
    depth=2,
    init_scale=TORCHS_OWN,
    loss="square",
    optimizer="adamw",
    learning_rate=1e-3,
    momentum=0.0,
    weight_decay=0.0,
    schedule="constant",
    tangent=60,
)


def _sweep(base: Setup, knob: str, name: str, values: tuple[Any, ...]) -> tuple[Condition, ...]:
    return tuple(
        Condition(label=f"{knob} {value:g}", setup=replace(base, **{name: value}), group=knob) for value in values
    )


def _grids(base: Setup) -> tuple[Condition, ...]:
    """Decay with down-scaled targets, with large initial weights, and without a gradient to the hidden layers."""
    return (
        *(
            Condition(
                label=f"decay {decay:g}, scale {scale:g}",
                setup=replace(base, weight_decay=decay, target_scale=scale),
                group="decay x scale",
            )
            for decay in (0.3, 1.0)
            for scale in (1.0, 0.3, 0.1, 0.03)
        ),
        *(
            Condition(
                label=f"large initialization, decay {decay:g}",
                setup=replace(base, init_scale=2.0, weight_decay=decay),
                group="large initialization",
            )
            for decay in (0.0, 0.1, 0.3, 1.0)
        ),
        Condition(label=STILL_FREE, setup=replace(base, frozen=True), group="no gradient to the hidden layers"),
        Condition(
            label=STILL_ALL,
            setup=replace(base, frozen=True, decays_frozen=True, weight_decay=1.0),
            group="no gradient to the hidden layers",
        ),
        Condition(
            label=STILL_HEAD,
            setup=replace(base, frozen=True, weight_decay=1.0),
            group="no gradient to the hidden layers",
        ),
    )


def _sweeps(base: Setup, samples: tuple[int, ...], widths: tuple[float, ...]) -> tuple[Condition, ...]:
    """One knob at a time, then the grids."""
    return (
        *_sweep(base, "target scale", "target_scale", (1.0, 0.3, 0.1, 0.03)),
        *_sweep(base, "initialization", "init_scale", (0.2, 0.41, 1.0, 2.0)),
        *_sweep(base, "weight decay", "weight_decay", (0.0, 0.1, 1.0)),
        *_sweep(base, "samples", "n_train", samples),
        *_sweep(base, "depth", "depth", (1, 2, 4)),
        *_sweep(base, "width", "width", widths),
        *_grids(base),
    )


STILL_FREE, STILL_ALL, STILL_HEAD = (
    f"no hidden gradient, {what}" for what in ("no decay", "decay on all layers", "decay on the head")
)
_SMALL = _sweeps(_BASE, (100, 350, 1400), (0.0625, 0.25, 1.0))
_MEDIUM = _sweeps(_BASE_MEDIUM, (400, 1500, 4000), (0.125, 0.5, 2.0))

SCALED = ("target scale 1", "target scale 0.1")
DECAYED = ("weight decay 0", "weight decay 1")
"""Ends of the two knobs on which v3 compares."""

SCALED_IN_DECAY = ("decay 1, scale 1", "decay 1, scale 0.1")
"""The first knob where weight decay 1 is on; without it v3's pattern does not appear."""

_LARGE = ("large initialization, decay 0", "large initialization, decay 0.3")


def _claim(
    sentence: str,
    number: str,
    ends: tuple[str, str],
    up: bool | None,
    paper: str,
    *,
    ours: bool = False,
    late: bool = False,
) -> Claim:
    return Claim(
        sentence=sentence,
        paper=paper,
        labels=ends,
        judge=moves(number, *ends, up=up),
        ours=ours,
        numbers=((number, "train"),) if late else (),
    )


_D, _S, _S_RAW = "dynamical_low_rank", "initial_kernel_similarity", "initial_kernel_similarity_raw"
_V3 = "v3: right"


_COMPARED = (
    _claim("Down-scaled targets: D_LR says lazier", _D, SCALED, True, _V3),
    _claim("Down-scaled targets: S_init does not move", _S, SCALED, None, "v3: no move"),
    _claim("Down-scaled targets: the parameter norm does not move", "parameter_norm", SCALED, None, "v3: no move"),
    _claim("Down-scaled targets: NC1 falls, against D_LR", "nc1", SCALED, False, "v3: opposite direction"),
    _claim("With weight decay 1, down-scaled targets: D_LR says lazier", _D, SCALED_IN_DECAY, True, _V3),
    _claim("With weight decay 1, down-scaled targets: S_init does not move", _S, SCALED_IN_DECAY, None, "v3: no move"),
    _claim(
        "With weight decay 1, down-scaled targets: NC1 falls, against D_LR",
        "nc1",
        SCALED_IN_DECAY,
        False,
        "v3: opposite direction",
    ),
    _claim("Weight decay: D_LR says richer", _D, DECAYED, False, _V3),
    _claim(
        "Weight decay: the parameter norm falls, which reads as lazier",
        "parameter_norm",
        DECAYED,
        False,
        "v3: misjudges",
    ),
    _claim(
        "Weight decay: S_init falls, which reads as richer",
        _S,
        DECAYED,
        False,
        "v3: misjudges, as decay changes the kernel without rich training",
    ),
    _claim("Large initial weights, weight decay 0.3: D_LR says richer", _D, _LARGE, False, "–", ours=True),
    _claim("Large initial weights, weight decay 0.3: S_init says lazier", _S, _LARGE, True, "–", ours=True),
    _claim(
        "No gradient to the hidden layers: decay on all layers lowers D_LR, although no feature is learned",
        _D,
        (STILL_FREE, STILL_ALL),
        False,
        "–",
        ours=True,
    ),
    _claim(
        "No gradient to the hidden layers: S_init does not move under decay on all layers",
        _S,
        (STILL_FREE, STILL_ALL),
        None,
        "–",
        ours=True,
    ),
    _claim(
        "Larger initial weights: D_LR says lazier",
        _D,
        ("initialization 0.41", "initialization 2"),
        True,
        "words",
    ),
    _claim(
        "Larger initial weights: the tangent kernel turns less",
        "tangent_kernel_distance",
        ("initialization 0.41", "initialization 2"),
        False,
        "words",
    ),
)


def _claims(samples: tuple[str, str], widths: tuple[str, str]) -> tuple[Claim, ...]:
    return (
        *_COMPARED,
        _claim("More samples: D_LR falls", _D, samples, False, "–", ours=True),
        _claim("More depth: D_LR falls", _D, ("depth 1", "depth 4"), False, "–", ours=True),
        _claim("More width: D_LR rises", _D, widths, True, "–", ours=True),
    )


FAMILY = Family(
    letter="g",
    name="scaling",
    title="Target scale, initialization, weight decay, samples, depth, width: D_LR and its comparators",
    paper="v3: under target down-scaling D_LR is right, S_init and the parameter norm do not move, NC1 moves in the "
    "opposite direction; under weight decay D_LR is right, S_init and the parameter norm misjudge, and NC1's size is "
    "unstable.",
    setting="Digits, 2 x 128 ReLU, square loss on one-hot targets, AdamW 1e-3, 100 epochs; one knob at a time, then "
    "weight decay with down-scaled targets, with large initial weights, and with no gradient to the hidden layers. The "
    "signs are those of theory: smaller targets and larger initial weights are lazier (Chizat et al. 2019), weight "
    "decay removes what the outputs do not use.",
    small=_SMALL,
    claims=_claims(("samples 100", "samples 1400"), ("width 0.0625", "width 1")),
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures), 2 x 256 ReLU, square loss on one-hot targets, AdamW 1e-3, 60 epochs; "
        "the same knobs.",
        conditions=_MEDIUM,
        claims=_claims(("samples 400", "samples 4000"), ("width 0.125", "width 2")),
        core_minutes=planned_minutes(_MEDIUM),
    ),
    columns=(
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="S_init", name=_S),
        Column(title="S_init, uncentered", name=_S_RAW),
        Column(title="tangent kernel distance", name="tangent_kernel_distance"),
        Column(title="‖θ‖²", name="parameter_norm"),
        Column(title="‖θ − θ₀‖", name="parameter_distance"),
        Column(title="NC1", name="nc1"),
        Column(title="tr S_W", name="within_class_variance"),
        Column(title="tr S_W / tr S_B", name=WITHIN_PER_BETWEEN),
    ),
)
