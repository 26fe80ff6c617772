"""Regression: neural collapse in the kernel picture, for targets of equal and of unequal spread."""

from __future__ import annotations

from dataclasses import replace

from phiscope.reproduction.claims import Claim, Judge, Judgement, Verdict, is_less, spread_text, stays, undefined
from phiscope.reproduction.families.code import TORCHS_OWN
from phiscope.reproduction.family import Column, Condition, Family, Results
from phiscope.reproduction.settings import Setup

COLLAPSED = 0.1
"""A share of variance outside the targets' span, or a D_LR, below which the features count as collapsed."""

UNEVEN = 0.074
"""Centered D_LR at perfect collapse for targets of standard deviation 1 : 2 : 3, a closed form."""

_TEACHER = Setup(
    data="teacher",
    n_train=1400,
    network="fcn",
    width=0.5,
    depth=3,
    init_scale=TORCHS_OWN,
    loss="square",
    optimizer="adamw",
    learning_rate=1e-3,
    weight_decay=1.0,
    batch_size=64,
    steps=4400,
    target_spread=(1.0, 1.0, 1.0),
)
_DIABETES = Setup(
    data="diabetes",
    network="fcn",
    width=0.125,
    depth=2,
    init_scale=TORCHS_OWN,
    loss="square",
    optimizer="adamw",
    learning_rate=1e-3,
    batch_size=32,
    steps=440,
)

EQUAL, UNEQUAL, NO_DECAY = "equal spread", "spread 1 : 2 : 3", "equal spread, no weight decay"


def _uneven(results: Results) -> Judgement:
    values = results.values(UNEQUAL, "dynamical_low_rank_centered")
    even = results.values(EQUAL, "dynamical_low_rank_centered")
    problem = undefined(values, even)
    if problem is not None:
        return problem
    extra = float(values.mean() - even.mean())
    ours = f"{spread_text(values)} ({UNEQUAL}), {spread_text(even)} ({EQUAL})"
    why = f"{extra:.3f} more for unequal targets; {UNEVEN} is the closed form at perfect collapse"
    near = abs(extra - UNEVEN) <= 0.02
    verdict: Verdict = "reproduced" if near else "direction only" if extra > 0 else "not reproduced"
    return Judgement(verdict=verdict, ours=ours, why=why)


def _dips(label: str) -> Judge:
    """Judge that D_LR falls to a minimum and that this minimum is not at the start or the end."""

    def judge(results: Results) -> Judgement:
        curves = [
            [point.value("dynamical_low_rank_centered") or 0.0 for point in outcome.points]
            for outcome in results.outcomes(label)
            if outcome is not None
        ]
        fallen = [min(curve) < 0.5 * curve[0] for curve in curves]
        ours = ", ".join(f"{curve[0]:.2g} to {min(curve):.2g}" for curve in curves)
        verdict: Verdict = "reproduced" if all(fallen) else "direction only" if any(fallen) else "not reproduced"
        return Judgement(verdict=verdict, ours=ours, why=f"less than half its initial value in {sum(fallen)} seeds")

    return judge


FAMILY = Family(
    letter="h",
    name="regression",
    title="Collapse in regression, seen in the kernel picture",
    paper="v1: neural collapse carries over to regression in the kernel picture (words; no figures known to us).",
    setting="Digits with three targets, the outputs of a fixed random network, whitened and scaled to equal or "
    "1 : 2 : 3 spread; 3 x 256 ReLU, AdamW, weight decay 1 or 0, 200 epochs. Diabetes, 2 x 64, 40 epochs.",
    small=(
        Condition(label=EQUAL, setup=_TEACHER),
        Condition(label=UNEQUAL, setup=replace(_TEACHER, target_spread=(1.0, 2.0, 3.0))),
        Condition(label=NO_DECAY, setup=replace(_TEACHER, weight_decay=0.0)),
        Condition(label="diabetes", setup=_DIABETES),
    ),
    claims=(
        Claim(
            sentence="Features collapse onto as many directions as there are targets (NRC1 falls below 0.1)",
            paper="words",
            labels=(EQUAL,),
            judge=stays("nrc1", EQUAL, at_most=COLLAPSED),
        ),
        Claim(
            sentence="D_LR falls near 0 for targets of equal spread",
            paper="words",
            labels=(EQUAL,),
            judge=stays("dynamical_low_rank_centered", EQUAL, at_most=COLLAPSED),
        ),
        Claim(
            sentence="Unequal spread leaves centered D_LR above 0 by the closed form's 0.074 even so",
            paper="not in the paper",
            labels=(EQUAL, UNEQUAL),
            judge=_uneven,
            ours=True,
        ),
        Claim(
            sentence="Collapse distance, which allows for the spread, is near 0 in both",
            paper="not in the paper",
            labels=(UNEQUAL,),
            judge=stays("collapse_distance", UNEQUAL, at_most=COLLAPSED),
            ours=True,
        ),
        Claim(
            sentence="Without weight decay features do not collapse",
            paper="not in the paper",
            labels=(EQUAL, NO_DECAY),
            judge=is_less("dynamical_low_rank_centered", EQUAL, NO_DECAY),
            ours=True,
        ),
        Claim(
            sentence="One target (diabetes): D_LR falls below half its initial value",
            paper="words",
            labels=("diabetes",),
            judge=_dips("diabetes"),
        ),
    ),
    columns=(
        Column(title="train R²", name="train_r2"),
        Column(title="test R²", name="test_r2"),
        Column(title="D_LR centered", name="dynamical_low_rank_centered"),
        Column(title="used variance", name="used_variance"),
        Column(title="collapse distance", name="collapse_distance"),
        Column(title="NRC1", name="nrc1"),
        Column(title="NRC2", name="nrc2"),
        Column(title="NRC3", name="nrc3"),
        Column(title="Pihat(r)", name="pihat_rank"),
    ),
)
