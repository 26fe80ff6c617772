"""What codes, shuffled labels, regression and test samples show, in figures."""

from __future__ import annotations

import numpy as np

from phiscope.reproduction.claims import spread_text
from phiscope.reproduction.discoveries.observation import D, Observation, mean_of, percent, plain
from phiscope.reproduction.families import code, regression, shuffled
from phiscope.reproduction.family import Results

TWICE = 2.0
"""D_LR on test samples this many times that on training samples shows that the two differ."""


def window(results: Results) -> Observation:
    """Accuracy of both kinds of training at every strength."""
    rows, kept = [], []
    for strength in code.STRENGTHS:
        labels = [code.label(strength, frozen) for frozen in (False, True)]
        rows.append((f"{strength:g}", *(percent(results, label, "test_accuracy") for label in labels)))
        kept.append(mean_of(results, labels[1], "test_accuracy") - mean_of(results, labels[0], "test_accuracy"))
    return Observation(
        text="Test accuracy with a foreign code, by the strength s of the code.",
        heads=("s", "all layers", "last layer only"),
        rows=tuple(rows),
        holds=max(kept) > 0.5 > max(kept[0], kept[-1]),
    )


def which_test(results: Results) -> Observation:
    """Accuracy on three kinds of test pictures."""
    label = code.label(code.WINDOW, False)
    foreign, without, right = (
        percent(results, label, f"{kind}_accuracy") for kind in ("test", "no_code", "right_code")
    )
    text = (
        f"At s = {code.WINDOW:g} the network trained in all layers reads {foreign} of the test pictures with a random "
        f"class's code, {without} of those without a code and {right} of those with the right one. It is at chance "
        "where the code misleads, and has not lost the picture: chance on clean pictures would be another result."
    )
    apart = mean_of(results, label, "no_code_accuracy") - mean_of(results, label, "test_accuracy")
    return Observation(text=text, holds=apart > 0.5)


def initial_weights(results: Results) -> Observation:
    """Torch's own initial weights against He's."""
    own, he = code.label(code.WINDOW, False), code.HE
    text = (
        f"At s = {code.WINDOW:g}, all layers: torch's own initial weights end at D_LR {plain(results, own, D)} and "
        f"{percent(results, own, 'test_accuracy')} on test pictures, He's, 2.4 times as large, at "
        f"{plain(results, he, D)} and {percent(results, he, 'test_accuracy')}."
    )
    return Observation(text=text, holds=mean_of(results, he, D) > 3 * mean_of(results, own, D))


def shuffled_labels(results: Results) -> Observation:
    """D_LR and NC1 for true, half and fully shuffled labels."""
    rows = tuple(
        (one.label, plain(results, one.label, D), plain(results, one.label, "nc1")) for one in results.conditions
    )
    first = [one.points[0].value(D) or np.nan for one in results.outcomes("shuffled labels") if one is not None]
    clean, mixed = (mean_of(results, label, D) for label in ("clean labels", "shuffled labels"))
    return Observation(
        text=f"At initialization D_LR is {spread_text(np.array(first))}.",
        heads=("", "D_LR", "NC1"),
        rows=rows,
        holds=clean < mixed < 0.5 * float(np.mean(first)),
    )


def decay_and_labels(results: Results) -> Observation:
    """D_LR and NC1 for true, half and fully shuffled labels, with weight decay and without, trained to collapse."""
    rows = tuple(
        (
            one.label,
            *(plain(results, one.label, name) for name in (D, "used_variance", "nc1")),
            percent(results, one.label, "test_accuracy"),
        )
        for one in results.conditions
    )
    apart = {
        ending: mean_of(results, shuffled.SHUFFLED + ending, D) - mean_of(results, shuffled.CLEAN + ending, D)
        for ending in ("", shuffled.FREE)
    }
    text = (
        f"The means of shuffled and true labels differ by {abs(apart['']):.2g} with weight decay 5e-4 and by "
        f"{abs(apart[shuffled.FREE]):.2g} without; the paper has 0.031 for true and 0.034 for shuffled labels, on "
        "other pictures and with a weight decay it does not give. U and NC1 do not end alike: in D_LR = 1 - U "
        "sqrt(PR / r) the variance that the outputs do not use lowers U and, spread over many directions, raises PR."
    )
    return Observation(
        text=text,
        heads=("", "D_LR", "U", "NC1", "test accuracy"),
        rows=rows,
        holds=abs(apart[""]) < shuffled.AS_RICH / 2 < shuffled.AS_RICH < apart[shuffled.FREE],
    )


def uneven_targets(results: Results) -> Observation:
    """Centered D_LR for targets of equal and of unequal spread."""
    values, even = (plain(results, label, f"{D}_centered") for label in (regression.UNEQUAL, regression.EQUAL))
    text = (
        f"Targets of spread 1 : 2 : 3 end at centered D_LR {values}, targets of equal spread at {even}. The closed "
        "form for feature variances in proportion to the targets' standard deviations is 0.074, in proportion to their "
        "variances 0.184: these networks are nearer to the second. D_LR of regressions with different targets is not "
        f"comparable; `collapse_distance` is ({plain(results, regression.UNEQUAL, 'collapse_distance')} and "
        f"{plain(results, regression.EQUAL, 'collapse_distance')})."
    )
    extra = mean_of(results, regression.UNEQUAL, f"{D}_centered") - mean_of(results, regression.EQUAL, f"{D}_centered")
    return Observation(text=text, holds=extra > 0.12)


def weak_directions(results: Results) -> Observation:
    """Used variance beside D_LR, with and without weight decay."""
    rows = tuple(
        (label, *(plain(results, label, name) for name in (f"{D}_centered", "used_variance", "nrc1")))
        for label in (regression.NO_DECAY, regression.EQUAL)
    )
    text = (
        "D_LR = 1 - U sqrt(PR / r), and variance spread over many weak directions lowers U but raises the "
        "participation ratio PR: the two nearly cancel. Weight decay removes that variance; D_LR does not show it."
    )
    label = regression.NO_DECAY
    low, unused = mean_of(results, label, f"{D}_centered"), 1 - mean_of(results, label, "used_variance")
    return Observation(
        text=text,
        heads=("", "D_LR centered", "used variance U", "NRC1"),
        rows=rows,
        holds=low < 0.05 < 0.1 < unused,
    )


def rich_is_not_good(results: Results) -> Observation:
    """D_LR on both splits beside test accuracy."""
    rows = tuple(
        (
            one.label,
            plain(results, one.label, D),
            plain(results, one.label, D, "test"),
            percent(results, one.label, "test_accuracy"),
        )
        for one in results.conditions
    )
    ratios = [mean_of(results, one.label, D, "test") / mean_of(results, one.label, D) for one in results.conditions]
    text = f"On test samples D_LR is {min(ratios):.2g} to {max(ratios):.2g} times that on training samples."
    return Observation(
        text=text,
        heads=("", "D_LR, train", "D_LR, test", "test accuracy"),
        rows=rows,
        holds=max(ratios) > TWICE,
    )
