"""What the trainings show that the paper does not say: numbered, with numbers from the outcomes at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from phiscope.reproduction import observations as seen
from phiscope.reproduction.families import code, poor, regression, scaling
from phiscope.reproduction.family import Results
from phiscope.reproduction.observations import Observation
from phiscope.reproduction.summary import FamilySummary


@dataclass(frozen=True, kw_only=True)
class FoundOut:
    """One numbered finding.

    Attributes:
        number: counted from 1; it stays the same when others are missing.
        title: the finding.
        text: the figures.
        command: what shows it again.
    """

    number: int
    title: str
    text: str
    command: str


@dataclass(frozen=True, kw_only=True)
class _Finding:
    family: str
    title: str
    observe: seen.Observer
    labels: tuple[str, ...] = ()


def findings(summaries: Sequence[FamilySummary]) -> Iterator[FoundOut]:
    """Those findings whose trainings are there; one that these trainings do not show says so.

    Args:
        summaries: of the families at hand.
    """
    results = {summary.family.name: summary.results for summary in summaries}
    for number, finding in enumerate(_ALL, start=1):
        observation = _observed(finding, results)
        if observation is not None:
            doubt = "" if observation.holds else " (Not so in these trainings.)"
            yield FoundOut(
                number=number,
                title=finding.title,
                text=observation.text + doubt,
                command=f"phiscope reproduce {finding.family}",
            )


def _observed(finding: _Finding, results: Mapping[str, Results]) -> Observation | None:
    found = results.get(finding.family)
    if found is None:
        return None
    labels = finding.labels or tuple(condition.label for condition in found.conditions)
    known = {condition.label for condition in found.conditions}
    # At full scale a family may lack a condition that a finding is about.
    if not set(labels) <= known or found.missing(labels) or found.diverged(labels):
        return None
    return finding.observe(found)


_ADDITION = ("addition",)
_CODED = tuple(code.label(strength, frozen) for strength in code.STRENGTHS for frozen in (False, True))

_ALL = (
    _Finding(
        family="grokking",
        title="The rank tolerance decides what grokking does to D_LR.",
        observe=seen.tolerance,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="The split it is measured on hardly matters.",
        observe=seen.split,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="Nor does the number of samples.",
        observe=seen.sample_size,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="The way to rich features is not straight.",
        observe=seen.path,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="Which set-up groks within 3000 steps, and how rich it ends.",
        observe=seen.grokking_setups,
    ),
    _Finding(
        family="grokking",
        title="How much of the test table is right early depends on the operation.",
        observe=seen.mirrors,
        labels=("addition", "division"),
    ),
    _Finding(
        family="code",
        title="The contrast between all layers and the last one needs a code of the right strength.",
        observe=seen.window,
        labels=_CODED,
    ),
    _Finding(
        family="code",
        title="Which test pictures are meant decides the accuracy.",
        observe=seen.which_test,
        labels=(code.label(code.WINDOW, False),),
    ),
    _Finding(
        family="code",
        title="The scale of the initial weights decides how rich the same training becomes.",
        observe=seen.initial_weights,
        labels=(code.label(code.WINDOW, False), code.HE),
    ),
    _Finding(
        family="shuffled",
        title="Shuffled labels end less rich than true ones here, and by far not lazy.",
        observe=seen.shuffled_labels,
    ),
    _Finding(
        family="scaling",
        title="S_init and NC1 order these knobs as D_LR does, and weight decay beside does not bring v3's pattern.",
        observe=seen.comparators,
        labels=(*scaling.SCALED, *scaling.DECAYED, *scaling.SCALED_IN_DECAY),
    ),
    _Finding(
        family="scaling",
        title="Wider networks in the standard parametrization end richer.",
        observe=seen.width,
        labels=("width 0.0625", "width 0.25", "width 1"),
    ),
    _Finding(
        family="regression",
        title="Unequal targets leave D_LR above 0 at collapse, and by more than 0.074.",
        observe=seen.uneven_targets,
        labels=(regression.EQUAL, regression.UNEQUAL),
    ),
    _Finding(
        family="regression",
        title="D_LR can be near 0 while a good part of the feature variance is unused.",
        observe=seen.weak_directions,
        labels=(regression.EQUAL, regression.NO_DECAY),
    ),
    _Finding(
        family="poor",
        title="Rich on training samples need not be rich on test samples.",
        observe=seen.rich_is_not_good,
        labels=(poor.GOOD, poor.SHUFFLED, poor.CODED, poor.LITTLE),
    ),
    _Finding(
        family="scaling",
        title="Finite samples matter little here, except where there are as few as features.",
        observe=seen.finite_samples,
    ),
)
