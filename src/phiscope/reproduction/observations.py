"""What the outcomes of one family show, in figures; the titles stand in `phiscope.reproduction.discoveries`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from phiscope.reproduction.claims import spread_text
from phiscope.reproduction.families import code, grokking, regression, scaling
from phiscope.reproduction.family import Results

_D = "dynamical_low_rank"


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Figures, and whether they show what the finding's title says.

    Attributes:
        text: sentences with figures.
        holds: the title holds in these outcomes.
    """

    text: str
    holds: bool


Observer = Callable[[Results], Observation]


def _percent(results: Results, label: str, name: str, split: str = "train") -> str:
    return spread_text(results.values(label, name, split), percent=True)


def _plain(results: Results, label: str, name: str, split: str = "train") -> str:
    return spread_text(results.values(label, name, split))


def _mean(results: Results, label: str, name: str, split: str = "train") -> float:
    return float(results.values(label, name, split).mean())


def tolerance(results: Results) -> Observation:
    """D_LR of addition at step 200 and at the end, at four tolerances."""
    told, ends = [], []
    for name in ("1e-10", "0.0001", "0.01", "0.1"):
        before, after = grokking.moments(results, "addition", f"{_D}_at_{name}")
        told.append(f"{spread_text(before)} to {spread_text(after)} at {float(name):g}")
        ends.append(float(after.mean()))
    text = (
        f"From step 200 to step 3000 of addition D_LR goes from {'; '.join(told)} (training samples). The logits' "
        "spectrum has no gap, so the tolerance decides how many outputs count: at 1e-10 the same network is lazy, at "
        "1e-4 it has the paper's final figure, at 1e-2 it is four times as rich. The paper's figures are none without "
        "theirs."
    )
    return Observation(text=text, holds=max(ends) - min(ends) > 0.2)


def split(results: Results) -> Observation:
    """D_LR of grokked addition on both splits."""
    told, apart = [], []
    for name in ("0.0001", "0.01"):
        both = [results.values("addition", f"{_D}_at_{name}", one) for one in ("train", "test")]
        told.append(f"{spread_text(both[0])} on training and {spread_text(both[1])} on test pairs at {float(name):g}")
        apart.append(abs(float(both[0].mean() - both[1].mean())))
    return Observation(text=f"At step 3000 of addition D_LR is {'; '.join(told)}.", holds=max(apart) <= 0.05)


def sample_size(results: Results) -> Observation:
    """D_LR of grokked addition on fewer samples."""
    outcome = next(one for one in results.outcomes("addition") if one is not None)
    sizes = sorted(int(name.rsplit("_", 1)[1]) for name in outcome.last.train if name.startswith(f"{_D}_of_"))
    told = [f"{_plain(results, 'addition', f'{_D}_of_{n}')} on {n}" for n in sizes]
    text = (
        f"At step 3000 of addition D_LR is {_plain(results, 'addition', _D)} on all training pairs, {', '.join(told)} "
        f"of them, and {_plain(results, 'addition', f'{_D}_corrected')} corrected for finite samples (tolerance 1e-4)."
    )
    apart = max(abs(_mean(results, "addition", f"{_D}_of_{n}") - _mean(results, "addition", _D)) for n in sizes)
    return Observation(text=text, holds=apart <= 0.02)


def path(results: Results) -> Observation:
    """D_LR of addition at every measured step."""
    outcomes = [one for one in results.outcomes("addition") if one is not None]
    curves = np.array([[point.value(_D) or np.nan for point in one.points] for one in outcomes])
    accuracy = np.array([[point.value("test_accuracy") or np.nan for point in one.points] for one in outcomes])
    steps = [point.step for point in outcomes[0].points]
    told = [
        f"step {step}: {low:.2f} ({right:.0%})"
        for step, low, right in zip(steps, curves.mean(axis=0), accuracy.mean(axis=0), strict=True)
        if step >= 20
    ]
    text = (
        f"Mean D_LR at 1e-4 and test accuracy of addition: {', '.join(told)}. It rises while the network leaves its "
        "initial state, falls while the table is learned by heart, rises again while the rule forms, and falls after "
        "the test table is right: one early and one late moment do not show it."
    )
    mean = curves.mean(axis=0)
    half = next(index for index, step in enumerate(steps) if step >= 300)
    return Observation(text=text, holds=bool(mean[half:-1].max() > mean[half] + 0.02 and mean[-1] < mean[half] - 0.02))


def grokking_setups(results: Results) -> Observation:
    """Test accuracy and D_LR of every condition."""
    told = [
        f"{one.label}: {_percent(results, one.label, 'test_accuracy')}, "
        f"{_plain(results, one.label, f'{_D}_at_0.0001')}, {_plain(results, one.label, f'{_D}_at_0.01')}"
        for one in results.conditions
    ]
    text = "Test accuracy, D_LR at 1e-4 and at 1e-2 after 3000 steps. " + "; ".join(told) + "."
    ends = [_mean(results, one.label, "test_accuracy") for one in results.conditions]
    return Observation(text=text, holds=min(ends) < grokking.GROKKED <= max(ends))


def mirrors(results: Results) -> Observation:
    """Test accuracy at step 200 by operation."""
    early = {name: grokking.moments(results, name, "test_accuracy")[0] for name in ("addition", "division")}
    told = [f"{spread_text(values, percent=True)} ({name})" for name, values in early.items()]
    text = (
        f"At the measured step nearest to 200 the test accuracy is {' and '.join(told)}. Addition commutes: half of "
        "its test pairs have their mirror among the training pairs, so an accuracy up to one half needs no rule. The "
        "paper's 5.2 % at step 200 is either a training table not known by then, or another operation."
    )
    return Observation(text=text, holds=bool(early["division"].mean() < early["addition"].mean()))


def window(results: Results) -> Observation:
    """Accuracy of both kinds of training at every strength."""
    told, kept = [], []
    for strength in code.STRENGTHS:
        labels = [code.label(strength, frozen) for frozen in (False, True)]
        full, frozen = (_percent(results, label, "test_accuracy") for label in labels)
        told.append(f"s = {strength:g}: {full} against {frozen}")
        kept.append(_mean(results, labels[1], "test_accuracy") - _mean(results, labels[0], "test_accuracy"))
    text = f"Test accuracy with a foreign code, all layers against the last layer only: {'; '.join(told)}."
    return Observation(text=text, holds=max(kept) > 0.5 > max(kept[0], kept[-1]))


def which_test(results: Results) -> Observation:
    """Accuracy on three kinds of test pictures."""
    label = code.label(code.WINDOW, False)
    foreign, without, right = (
        _percent(results, label, f"{kind}_accuracy") for kind in ("test", "no_code", "right_code")
    )
    text = (
        f"At s = {code.WINDOW:g} the network trained in all layers reads {foreign} of the test pictures with a random "
        f"class's code, {without} of those without a code and {right} of those with the right one. It is at chance "
        "where the code misleads, and has not lost the picture: chance on clean pictures would be another result."
    )
    apart = _mean(results, label, "no_code_accuracy") - _mean(results, label, "test_accuracy")
    return Observation(text=text, holds=apart > 0.5)


def initial_weights(results: Results) -> Observation:
    """Torch's own initial weights against He's."""
    own, he = code.label(code.WINDOW, False), code.HE
    text = (
        f"At s = {code.WINDOW:g}, all layers: torch's own initial weights end at D_LR {_plain(results, own, _D)} and "
        f"{_percent(results, own, 'test_accuracy')} on test pictures, He's, 2.4 times as large, at "
        f"{_plain(results, he, _D)} and {_percent(results, he, 'test_accuracy')}."
    )
    return Observation(text=text, holds=_mean(results, he, _D) > 3 * _mean(results, own, _D))


def shuffled_labels(results: Results) -> Observation:
    """D_LR and NC1 for true, half and fully shuffled labels."""
    told = [
        f"{one.label}: D_LR {_plain(results, one.label, _D)}, NC1 {_plain(results, one.label, 'nc1')}"
        for one in results.conditions
    ]
    first = [one.points[0].value(_D) or np.nan for one in results.outcomes("shuffled labels") if one is not None]
    text = f"{'; '.join(told)}. At initialization D_LR is {spread_text(np.array(first))}."
    clean, mixed = (_mean(results, label, _D) for label in ("clean labels", "shuffled labels"))
    return Observation(text=text, holds=clean < mixed < 0.5 * float(np.mean(first)))


def comparators(results: Results) -> Observation:
    """D_LR, S_init and NC1 from one end of three knobs to the other."""
    knobs = {
        "down-scaled targets": scaling.SCALED,
        "weight decay": scaling.DECAYED,
        "down-scaled targets at weight decay 1": scaling.SCALED_IN_DECAY,
    }
    told, signs = [], {}
    for knob, (start, end) in knobs.items():
        moved = []
        for name, symbol in ((_D, "D_LR"), ("initial_kernel_similarity", "S_init"), ("nc1", "NC1")):
            moved.append(f"{symbol} {_plain(results, start, name)} to {_plain(results, end, name)}")
            signs[knob, symbol] = np.sign(_mean(results, end, name) - _mean(results, start, name))
        told.append(f"{knob}: {', '.join(moved)}")
    text = (
        f"From {scaling.SCALED[0]} to {scaling.SCALED[1]}, from {scaling.DECAYED[0]} to {scaling.DECAYED[1]}, and from "
        f"{scaling.SCALED_IN_DECAY[0]} to {scaling.SCALED_IN_DECAY[1]}: {'; '.join(told)}. The failures that v3 shows "
        "under down-scaled targets (D_LR rises while NC1 falls) need another set-up than these."
    )
    alike = all(len({signs[knob, symbol] for symbol in ("D_LR", "S_init", "NC1")}) == 1 for knob in list(knobs)[:2])
    knob = list(knobs)[2]
    return Observation(text=text, holds=alike and not signs[knob, "D_LR"] > 0 > signs[knob, "NC1"])


def width(results: Results) -> Observation:
    """D_LR by width."""
    labels = ("width 0.0625", "width 0.25", "width 1")
    units = dict(zip(labels, (32, 128, 512), strict=True))
    told = [f"{_plain(results, label, _D)} with 2 x {units[label]} units" for label in labels]
    means = [_mean(results, label, _D) for label in labels]
    return Observation(text=f"D_LR is {', '.join(told)}.", holds=means == sorted(means, reverse=True))


def uneven_targets(results: Results) -> Observation:
    """Centered D_LR for targets of equal and of unequal spread."""
    values, even = (_plain(results, label, f"{_D}_centered") for label in (regression.UNEQUAL, regression.EQUAL))
    text = (
        f"Targets of spread 1 : 2 : 3 end at centered D_LR {values}, targets of equal spread at {even}. The closed "
        "form for feature variances in proportion to the targets' standard deviations is 0.074, in proportion to their "
        "variances 0.184: these networks are nearer to the second. D_LR of regressions with different targets is not "
        f"comparable; `collapse_distance` is ({_plain(results, regression.UNEQUAL, 'collapse_distance')} and "
        f"{_plain(results, regression.EQUAL, 'collapse_distance')})."
    )
    extra = _mean(results, regression.UNEQUAL, f"{_D}_centered") - _mean(results, regression.EQUAL, f"{_D}_centered")
    return Observation(text=text, holds=extra > 0.12)


def weak_directions(results: Results) -> Observation:
    """Used variance beside D_LR, with and without weight decay."""
    told = [
        f"{label}: D_LR {_plain(results, label, f'{_D}_centered')}, used variance "
        f"{_plain(results, label, 'used_variance')}, NRC1 {_plain(results, label, 'nrc1')}"
        for label in (regression.NO_DECAY, regression.EQUAL)
    ]
    text = (
        f"{'; '.join(told)}. D_LR = 1 - U sqrt(PR / r), and variance spread over many weak directions lowers U but "
        "raises the participation ratio PR: the two nearly cancel. Weight decay removes that variance; D_LR does not "
        "show it."
    )
    label = regression.NO_DECAY
    low, unused = _mean(results, label, f"{_D}_centered"), 1 - _mean(results, label, "used_variance")
    return Observation(text=text, holds=low < 0.05 < 0.1 < unused)


TWICE = 2.0
"""D_LR on test samples this many times that on training samples shows that the two differ."""


def rich_is_not_good(results: Results) -> Observation:
    """D_LR on both splits beside test accuracy."""
    told = [
        f"{one.label}: D_LR {_plain(results, one.label, _D)} on training and {_plain(results, one.label, _D, 'test')} "
        f"on test samples, {_percent(results, one.label, 'test_accuracy')} right"
        for one in results.conditions
    ]
    ratios = [_mean(results, one.label, _D, "test") / _mean(results, one.label, _D) for one in results.conditions]
    return Observation(text="; ".join(told) + ".", holds=max(ratios) > TWICE)


def finite_samples(results: Results) -> Observation:
    """How far the correction for finite samples moves D_LR."""
    moved = {}
    for one in results.conditions:
        shift = results.values(one.label, f"{_D}_corrected") - results.values(one.label, _D)
        moved[one.label] = abs(float(shift.mean()))
    largest = max(moved, key=lambda label: moved[label])
    text = (
        f"Over {len(moved)} conditions the correction moves D_LR by {np.median(list(moved.values())):.2g} (median) and "
        f"by {moved[largest]:.2g} at most ({largest})."
    )
    return Observation(text=text, holds=largest == "samples 100" and float(np.median(list(moved.values()))) < 0.01)
