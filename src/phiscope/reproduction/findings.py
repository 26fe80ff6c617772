"""What the trainings show that the paper does not say: numbered, with numbers from the outcomes at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phiscope.reproduction.claims import spread_text
from phiscope.reproduction.families import code, grokking, regression
from phiscope.reproduction.family import Results
from phiscope.reproduction.summary import FamilySummary


@dataclass(frozen=True, kw_only=True)
class FoundOut:
    """One numbered finding.

    Attributes:
        number: counted from 1.
        title: the finding.
        text: the figures.
        command: what shows it again.
    """

    number: int
    title: str
    text: str
    command: str


_Teller = Callable[[Mapping[str, Results]], str]


def findings(summaries: Sequence[FamilySummary]) -> Iterator[FoundOut]:
    """Those findings whose trainings are all there; numbers stay the same when some are not."""
    results = {summary.family.name: summary.results for summary in summaries if not summary.n_missing}
    for number, (family, title, teller) in enumerate(_ALL, start=1):
        if all(name in results for name in family.split()):
            command = f"phiscope reproduce {family.split()[0]}"
            yield FoundOut(number=number, title=title, text=teller(results), command=command)


def _tolerance(results: Mapping[str, Results]) -> str:
    found = results["grokking"]
    told = []
    for tolerance in ("1e-10", "0.0001", "0.01", "0.1"):
        before, after = grokking.moments(found, "addition", f"dynamical_low_rank_at_{tolerance}")
        told.append(f"{spread_text(before)} to {spread_text(after)} at {float(tolerance):g}")
    return (
        f"From step 200 to step 3000 of addition D_LR goes from {'; '.join(told)} (training samples). The logits' "
        "spectrum has no gap, so the tolerance decides how many outputs count; the paper's 0.51 to 0.11 is not a "
        "figure without its tolerance."
    )


def _split(results: Mapping[str, Results]) -> str:
    found = results["grokking"]
    told = []
    for split in ("train", "test"):
        before, after = grokking.moments(found, "addition", "dynamical_low_rank_at_0.01", split)
        told.append(f"{spread_text(before)} to {spread_text(after)} on {split} samples")
    return f"At tolerance 1e-2 addition goes from {' and '.join(told)}."


def _samples(results: Mapping[str, Results]) -> str:
    found = results["grokking"]
    whole = found.values("addition", "dynamical_low_rank")
    outcome = next(one for one in found.outcomes("addition") if one is not None)
    sizes = sorted(
        int(name.rsplit("_", 1)[1]) for name in outcome.last.train if name.startswith("dynamical_low_rank_of_")
    )
    told = [f"{spread_text(found.values('addition', f'dynamical_low_rank_of_{n}'))} on {n}" for n in sizes]
    corrected = found.values("addition", "dynamical_low_rank_corrected")
    return (
        f"Of the grokked network D_LR is {spread_text(whole)} on all training pairs, {' and '.join(told)} of them; "
        f"corrected for the number of samples it is {spread_text(corrected)}."
    )


def _grokking_setups(results: Mapping[str, Results]) -> str:
    found = results["grokking"]
    told = []
    for condition in found.conditions:
        accuracy = spread_text(found.values(condition.label, "test_accuracy"), percent=True)
        lowness = spread_text(found.values(condition.label, "dynamical_low_rank_at_0.01"))
        told.append(f"{condition.label}: {accuracy}, {lowness}")
    return "Test accuracy and D_LR at tolerance 1e-2 after 3000 steps. " + "; ".join(told) + "."


def _mirrors(results: Mapping[str, Results]) -> str:
    found = results["grokking"]
    told = [
        f"{spread_text(grokking.moments(found, name, 'test_accuracy')[0], percent=True)} ({name})"
        for name in ("addition", "division")
    ]
    return (
        f"At step 200 the test accuracy is {', '.join(told)}. Addition commutes: half of the test pairs that are not "
        "trained on have their mirror in training, so an early test accuracy far below one half says how much of the "
        "training table was known by then, or that the operation was another."
    )


def _window(results: Mapping[str, Results]) -> str:
    found = results["code"]
    told = []
    for strength in code.STRENGTHS:
        full, frozen = (
            spread_text(found.values(code.label(strength, kind), "test_accuracy"), percent=True)
            for kind in (False, True)
        )
        told.append(f"s = {strength:g}: {full} against {frozen}")
    return f"Test accuracy with a foreign code, all layers against the last layer only: {'; '.join(told)}."


def _which_test(results: Mapping[str, Results]) -> str:
    found, label = results["code"], code.label(code.WINDOW, False)
    foreign, without, right = (
        spread_text(found.values(label, f"{kind}_accuracy"), percent=True) for kind in ("test", "no_code", "right_code")
    )
    return (
        f"At s = {code.WINDOW:g} the network trained in all layers reads {foreign} of the test pictures with a random "
        f"class's code, {without} without a code and {right} with the right one. Chance on clean pictures, which the "
        "paper's words suggest, is another experiment than chance on pictures with a foreign code."
    )


def _initial_weights(results: Mapping[str, Results]) -> str:
    found = results["code"]
    torch_own, he = code.label(code.WINDOW, False), code.HE
    return (
        f"At s = {code.WINDOW:g} torch's own initial weights end at D_LR "
        f"{spread_text(found.values(torch_own, 'dynamical_low_rank'))} and "
        f"{spread_text(found.values(torch_own, 'test_accuracy'), percent=True)} on test pictures, He's, 2.4 times as "
        f"large, at {spread_text(found.values(he, 'dynamical_low_rank'))} and "
        f"{spread_text(found.values(he, 'test_accuracy'), percent=True)}."
    )


def _uneven(results: Mapping[str, Results]) -> str:
    found = results["regression"]
    value = found.values(regression.UNEQUAL, "dynamical_low_rank_centered")
    even = found.values(regression.EQUAL, "dynamical_low_rank_centered")
    return (
        f"Targets of spread 1 : 2 : 3 end at centered D_LR {spread_text(value)}, targets of equal spread at "
        f"{spread_text(even)}. The closed form for feature variances in proportion to the targets' standard "
        "deviations is 0.074, in proportion to their variances 0.184: these networks are nearer to the second. D_LR of "
        "regressions with different targets is not comparable; `collapse_distance` is."
    )


def _rich_is_not_good(results: Mapping[str, Results]) -> str:
    found = results["poor"]
    told = [
        f"{condition.label}: D_LR {spread_text(found.values(condition.label, 'dynamical_low_rank'))} on training and "
        f"{spread_text(found.values(condition.label, 'dynamical_low_rank', 'test'))} on test samples, "
        f"{spread_text(found.values(condition.label, 'test_accuracy'), percent=True)}"
        for condition in found.conditions
    ]
    return "; ".join(told) + "."


def _finite_samples(results: Mapping[str, Results]) -> str:
    moved = []
    for found in results.values():
        for condition in found.conditions:
            plain = found.values(condition.label, "dynamical_low_rank")
            corrected = found.values(condition.label, "dynamical_low_rank_corrected")
            if np.isfinite(plain).all() and np.isfinite(corrected).all():
                moved.append((abs(float((corrected - plain).mean())), condition.label, found.family.name))
    largest, middle = max(moved), np.median([one[0] for one in moved])
    return (
        f"Over {len(moved)} conditions the correction for finite samples moves D_LR by {middle:.2g} "
        f"(median) and by {largest[0]:.2g} at most ({largest[1]}, {largest[2]})."
    )


_ALL: tuple[tuple[str, str, _Teller], ...] = (
    ("grokking", "The rank tolerance decides what grokking does to D_LR.", _tolerance),
    ("grokking", "So does the split it is measured on.", _split),
    ("grokking", "And the number of samples.", _samples),
    ("grokking", "Which set-up groks, and how rich it ends.", _grokking_setups),
    ("grokking", "Early test accuracy depends on the operation.", _mirrors),
    ("code", "The paper's contrast needs a code of the right strength.", _window),
    ("code", "Which test pictures are meant decides the accuracy.", _which_test),
    ("code", "The scale of the initial weights decides how rich the same training becomes.", _initial_weights),
    ("regression", "Unequal targets leave D_LR above 0 at collapse, by more than 0.074.", _uneven),
    ("poor", "Rich on training samples need not be rich on test samples.", _rich_is_not_good),
    ("code grokking shuffled regression scaling", "Finite samples matter little here.", _finite_samples),
)
