"""Knobs with a known effect on how lazy training is: what D_LR says of each, and what the comparators say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from phiscope.reproduction.claims import Claim, moves
from phiscope.reproduction.families.code import TORCHS_OWN
from phiscope.reproduction.family import Column, Condition, Family
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


def _sweep(knob: str, name: str, values: tuple[Any, ...]) -> tuple[Condition, ...]:
    return tuple(
        Condition(label=f"{knob} {value:g}", setup=replace(_BASE, **{name: value}), group=knob) for value in values
    )


_SWEEPS = (
    *_sweep("target scale", "target_scale", (1.0, 0.3, 0.1, 0.03)),
    *_sweep("initialization", "init_scale", (0.2, 0.41, 1.0, 2.0)),
    *_sweep("weight decay", "weight_decay", (0.0, 0.1, 1.0)),
    *_sweep("samples", "n_train", (100, 350, 1400)),
    *_sweep("depth", "depth", (1, 2, 4)),
    *_sweep("width", "width", (0.0625, 0.25, 1.0)),
)

SCALED = ("target scale 1", "target scale 0.1")
DECAYED = ("weight decay 0", "weight decay 1")
"""Ends of the two knobs on which v3 compares."""


def _claim(
    sentence: str, number: str, ends: tuple[str, str], up: bool | None, paper: str, *, ours: bool = False
) -> Claim:
    return Claim(sentence=sentence, paper=paper, labels=ends, judge=moves(number, *ends, up=up), ours=ours)


_V3 = "v3: right"

FAMILY = Family(
    letter="g",
    name="scaling",
    title="Target scale, initialization, weight decay, samples, depth, width: D_LR and its comparators",
    paper="v3: S_init misjudges weight decay and does not move with target down-scaling; the parameter norm the same; "
    "NC1 is unbounded and moves the wrong way; D_LR is right in both.",
    setting="Digits, 2 x 128 ReLU, square loss on one-hot targets, AdamW 1e-3, 100 epochs; one knob at a time. The "
    "signs are those of theory: smaller targets and larger initial weights are lazier (Chizat et al. 2019), weight "
    "decay removes what the outputs do not use.",
    small=_SWEEPS,
    claims=(
        _claim("Down-scaled targets: D_LR says lazier", "dynamical_low_rank", SCALED, True, _V3),
        _claim("Down-scaled targets: S_init does not move", "initial_kernel_similarity", SCALED, None, "v3: no move"),
        _claim("Down-scaled targets: NC1 moves the wrong way (falls)", "nc1", SCALED, False, "v3: wrong way"),
        _claim("Weight decay: D_LR says richer", "dynamical_low_rank", DECAYED, False, _V3),
        _claim(
            "Weight decay: S_init misjudges it (says no change, or lazier)",
            "initial_kernel_similarity",
            DECAYED,
            True,
            "v3: misjudges",
        ),
        _claim(
            "Weight decay: the parameter norm falls, which reads as lazier",
            "parameter_norm",
            DECAYED,
            False,
            "v3: misjudges",
        ),
        _claim("Weight decay: NC1 moves the wrong way (rises)", "nc1", DECAYED, True, "v3: wrong way"),
        _claim(
            "Larger initial weights: D_LR says lazier",
            "dynamical_low_rank",
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
        _claim(
            "More samples: D_LR falls", "dynamical_low_rank", ("samples 100", "samples 1400"), False, "–", ours=True
        ),
        _claim("More depth: D_LR falls", "dynamical_low_rank", ("depth 1", "depth 4"), False, "–", ours=True),
        _claim("More width: D_LR rises", "dynamical_low_rank", ("width 0.0625", "width 1"), True, "–", ours=True),
    ),
    columns=(
        Column(title="test accuracy", name="test_accuracy"),
        Column(title="D_LR", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="S_init", name="initial_kernel_similarity"),
        Column(title="tangent kernel distance", name="tangent_kernel_distance"),
        Column(title="‖θ‖²", name="parameter_norm"),
        Column(title="‖θ − θ₀‖", name="parameter_distance"),
        Column(title="NC1", name="nc1"),
    ),
)
