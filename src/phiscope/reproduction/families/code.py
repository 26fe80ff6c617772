"""The label written beside the picture as a weak code: features that learn may learn nothing but the code."""

from __future__ import annotations

from phiscope.reproduction.claims import (
    CHANCE_FACTOR,
    Claim,
    Judge,
    Judgement,
    Verdict,
    is_less,
    spread_text,
    stays,
    undefined,
)
from phiscope.reproduction.families.fashion import planned_minutes, trained_for
from phiscope.reproduction.family import Column, Condition, Family, Medium, Results
from phiscope.reproduction.settings import Setup

STRENGTHS = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of the code, in units of the pixels' range; the paper does not publish its own."""

WINDOW = 0.6
"""The strength at which the claims are read: where the last layer alone comes nearest to the paper's 74.4 %.

That figure is therefore fitted; the network trained in all layers and both D_LR are not.
"""

MEDIUM_STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""On Fashion-MNIST, whose tenth principal component is six times as strong as that of digits in pixels of 0..1."""

MEDIUM_WINDOW = 1.5
"""As `WINDOW`, for Fashion-MNIST: the same share of the tenth principal component, so not fitted there."""

MODERATE = 0.6
"""The frozen network counts as far better when it is right on so many test pictures; the paper has 74 %."""

TORCHS_OWN = 0.41
"""Standard deviation of torch's own initial weights in units of He's."""


def _setup(strength: float | None, *, frozen: bool, init_scale: float = TORCHS_OWN) -> Setup:
    return Setup(
        data="digits",
        n_train=1400,
        code=strength,
        network="fcn",
        depth=2,
        init_scale=init_scale,
        frozen=frozen,
        loss="square",
        learning_rate=1e-3,
        batch_size=64,
        steps=1320,
    )


def _full(strength: float, *, frozen: bool) -> Setup:
    return Setup(
        data="mnist",
        code=strength,
        network="fcn",
        depth=2,
        init_scale=TORCHS_OWN,
        frozen=frozen,
        loss="square",
        batch_size=128,
        steps=9380,
        points=10,
    )


def _medium(strength: float, *, frozen: bool) -> Setup:
    return trained_for(
        60,
        code=strength,
        network="fcn",
        width=1.0,
        depth=2,
        init_scale=TORCHS_OWN,
        frozen=frozen,
        loss="square",
        optimizer="adam",
        learning_rate=1e-3,
        momentum=0.0,
        weight_decay=0.0,
        schedule="constant",
    )


def label(strength: float, frozen: bool) -> str:
    """Label of a condition."""
    return f"{'last layer only' if frozen else 'all layers'}, s = {strength:g}"


HE = f"all layers, s = {WINDOW:g}, He's initial weights"


def _window(strengths: tuple[float, ...]) -> Judge:
    """Judge at how many strengths the contrast is seen."""

    def judge(results: Results) -> Judgement:
        seen = []
        for strength in strengths:
            full, frozen = (results.values(label(strength, kind), "test_accuracy") for kind in (False, True))
            if undefined(full, frozen) is None and full.mean() <= 0.3 and frozen.mean() >= MODERATE:
                seen.append(f"{strength:g}")
        ours = f"seen at s = {', '.join(seen)}" if seen else "seen at no strength"
        why = f"at most 30 % against at least {MODERATE:.0%}, of the strengths {', '.join(f'{s:g}' for s in strengths)}"
        verdict: Verdict = "reproduced" if 0 < len(seen) < len(strengths) else "not reproduced"
        return Judgement(verdict=verdict, ours=ours, why=why)

    return judge


def _right_code(name: str) -> Judge:
    def judge(results: Results) -> Judgement:
        right = results.values(name, "right_code_accuracy")
        without = results.values(name, "no_code_accuracy")
        problem = undefined(right, without)
        if problem is not None:
            return problem
        ours = f"{spread_text(right, percent=True)} with the right code, {spread_text(without, percent=True)} without"
        holds = bool((right >= 0.95).all())
        why = "at least 95 % in every seed while the code is right" if holds else "the code does not carry the answer"
        return Judgement(verdict="reproduced" if holds else "not reproduced", ours=ours, why=why)

    return judge


def _conditions(make: object, *, extra: bool, strengths: tuple[float, ...] = STRENGTHS) -> tuple[Condition, ...]:
    made = tuple(
        Condition(label=label(strength, frozen), setup=make(strength, frozen=frozen), group=group)  # type: ignore[operator]
        for frozen, group in ((False, "all layers"), (True, "last layer only"))
        for strength in strengths
    )
    he = Condition(label=HE, setup=_setup(WINDOW, frozen=False, init_scale=1.0), group="all layers")
    return (*made, he) if extra else made


def _claims(strengths: tuple[float, ...], window: float, strongest: float, note: str = "") -> tuple[Claim, ...]:
    """The claims, read at one strength; a note on how that was chosen stands beside the paper's figures."""
    fully, frozen = label(window, False), label(window, True)
    return (
        Claim(
            sentence="Trained in all layers the network is at chance on test images with a foreign code",
            paper="10.0 %",
            labels=(fully,),
            judge=stays("test_accuracy", fully, at_most=CHANCE_FACTOR * 0.1, percent=True),
        ),
        Claim(
            sentence="Trained in the last layer only it is far better",
            paper=f"10.0 % against 74.4 %{note}",
            labels=(fully, frozen),
            judge=is_less("test_accuracy", fully, frozen, paper=(0.10, 0.744), percent=True),
        ),
        Claim(
            sentence="The fooled network is the rich one",
            paper="D_LR 0.0087 against 0.63",
            labels=(fully, frozen),
            judge=is_less("dynamical_low_rank", fully, frozen, paper=(0.0087, 0.63)),
        ),
        Claim(
            sentence="The contrast appears in a window of code strength and not at every strength",
            paper="strength not published",
            labels=tuple(label(strength, kind) for strength in strengths for kind in (False, True)),
            judge=_window(strengths),
            ours=True,
        ),
        Claim(
            sentence="The fooled network reads the code: it is right wherever the code is",
            paper="not published",
            labels=(label(strongest, False),),
            judge=_right_code(label(strongest, False)),
            ours=True,
        ),
    )


MEDIUM = _conditions(_medium, extra=False, strengths=MEDIUM_STRENGTHS)

FAMILY = Family(
    letter="e",
    name="code",
    title="A code of the label written into the images",
    paper="MNIST with a spurious code in the image: full back-propagation 10.0 % on test images at D_LR 0.0087, last "
    "layer only 74.4 % at 0.63. The strength of the code is not published.",
    setting="Digits with a one-hot code of strength s in extra rows of pixels (0..1), a random class's code on test "
    "pictures; 2 x 512 ReLU, square loss, Adam 1e-3, 60 epochs, all layers or the last layer only.",
    small=_conditions(_setup, extra=True),
    full=_conditions(_full, extra=False),
    full_setting="MNIST with the code in an extra row of pixels, 2 x 512 ReLU, square loss, Adam 1e-3, 20 epochs.",
    needs=("mnist",),
    claims=_claims(STRENGTHS, WINDOW, 1.0, " (s was chosen by the latter)"),
    medium=Medium(
        setting="Fashion-MNIST (4,000 pictures) with a one-hot code of strength s in an extra row of pixels (0..1), a "
        "random class's code on test pictures; 2 x 512 ReLU, square loss, Adam 1e-3, 60 epochs, all layers or last.",
        conditions=MEDIUM,
        claims=_claims(MEDIUM_STRENGTHS, MEDIUM_WINDOW, MEDIUM_STRENGTHS[-1]),
        core_minutes=planned_minutes(MEDIUM),
    ),
    columns=(
        Column(title="train accuracy", name="train_accuracy"),
        Column(title="test, foreign code", name="test_accuracy"),
        Column(title="test, no code", name="no_code_accuracy"),
        Column(title="D_LR", name="dynamical_low_rank"),
        Column(title="corrected", name="dynamical_low_rank_corrected"),
        Column(title="S_init", name="initial_kernel_similarity"),
        Column(title="Pihat(C)", name="pihat_outputs"),
        Column(title="NC1", name="nc1"),
    ),
)
