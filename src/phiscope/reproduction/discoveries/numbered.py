"""What the trainings show that the paper does not say: numbered, with numbers from the outcomes at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from phiscope.reproduction.discoveries import grokking, laziness, richness
from phiscope.reproduction.discoveries.observation import Observation, Observer
from phiscope.reproduction.families import code, poor, regression, scaling, shuffled
from phiscope.reproduction.family import Results
from phiscope.reproduction.summary import FamilySummary


@dataclass(frozen=True, kw_only=True)
class FoundOut:
    """One numbered finding.

    Attributes:
        number: counted from 1; it stays the same when others are missing.
        title: the finding, one sentence.
        text: what explains it, with figures where there is no table.
        command: what shows it again.
        heads: headings of the table of figures; empty for none.
        rows: its rows, a text for each heading.
    """

    number: int
    title: str
    text: str
    command: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Finding:
    family: str
    title: str
    observe: Observer
    labels: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()
    medium: bool = False
    in_part: bool = False  # the observer itself takes the seeds that are there


def findings(summaries: Sequence[FamilySummary], medium: Sequence[FamilySummary] = ()) -> Iterator[FoundOut]:
    """Those findings whose trainings are there; one that these trainings do not show says so.

    Args:
        summaries: of the families at hand.
        medium: those at medium scale, for the findings that are about them.
    """
    scales = [{summary.family.name: summary.results for summary in part} for part in (summaries, medium)]
    for number, finding in enumerate(_ALL, start=1):
        observation = _observed(finding, scales[finding.medium])
        if observation is not None:
            doubt = "" if observation.holds else " (Not so in these trainings.)"
            yield FoundOut(
                number=number,
                title=finding.title,
                text=observation.text + doubt,
                command=f"phiscope reproduce {finding.family}" + " --scale medium" * finding.medium,
                heads=observation.heads,
                rows=observation.rows,
            )


def _observed(finding: _Finding, results: Mapping[str, Results]) -> Observation | None:
    found = results.get(finding.family)
    if found is None:
        return None
    labels = finding.labels or tuple(condition.label for condition in found.conditions)
    known = {condition.label for condition in found.conditions}
    # At full scale a family may lack a condition that a finding is about.
    absent = [] if finding.in_part else found.missing(labels)
    if not set(labels) <= known or absent or found.diverged(labels):
        return None
    if any(found.lacks(label, *number) for label in labels for number in finding.numbers):
        return None
    return finding.observe(found)


_ADDITION = ("addition",)
_CODED = tuple(code.label(strength, frozen) for strength in code.STRENGTHS for frozen in (False, True))

_ALL = (
    _Finding(
        family="minimal",
        title="In trained convolutional networks the last layer has the least D_LR.",
        observe=laziness.layers,
    ),
    _Finding(
        family="grokking",
        title="The rank tolerance decides what grokking does to D_LR.",
        observe=grokking.tolerance,
        labels=_ADDITION,
        numbers=(("dynamical_low_rank_at_3.1e-07", "train"),),
    ),
    _Finding(
        family="grokking",
        title="In grokking (addition) the split it is measured on hardly matters.",
        observe=grokking.split,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="In grokking (addition) the number of samples hardly matters either.",
        observe=grokking.sample_size,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="The way to rich features is not straight.",
        observe=grokking.path,
        labels=_ADDITION,
    ),
    _Finding(
        family="grokking",
        title="Which set-up groks within 3000 steps, and how rich it ends.",
        observe=grokking.setups,
    ),
    _Finding(
        family="grokking",
        title="How much of the test table is right early depends on the operation.",
        observe=grokking.mirrors,
        labels=("addition", "division"),
    ),
    _Finding(
        family="code",
        title="The contrast between all layers and the last one needs a code of the right strength.",
        observe=richness.window,
        labels=_CODED,
    ),
    _Finding(
        family="code",
        title="Which test pictures are meant decides the accuracy.",
        observe=richness.which_test,
        labels=(code.label(code.WINDOW, False),),
    ),
    _Finding(
        family="code",
        title="The scale of the initial weights decides how rich the same training becomes.",
        observe=richness.initial_weights,
        labels=(code.label(code.WINDOW, False), code.HE),
    ),
    _Finding(
        family="shuffled",
        title="Without weight decay shuffled labels end less rich than true ones, and by far not lazy.",
        observe=richness.shuffled_labels,
    ),
    _Finding(
        family="scaling",
        title="S_init and NC1 order these knobs as D_LR does, and weight decay beside does not bring v3's pattern.",
        observe=laziness.comparators,
        labels=(*scaling.SCALED, *scaling.DECAYED, *scaling.SCALED_IN_DECAY),
    ),
    _Finding(
        family="scaling",
        title="D_LR follows the readout: it falls where no feature is learned.",
        observe=laziness.readout,
        labels=(scaling.STILL_FREE, scaling.STILL_HEAD, scaling.STILL_ALL),
    ),
    _Finding(
        family="scaling",
        title="Wider networks in the standard parametrization end richer.",
        observe=laziness.width,
        labels=("width 0.0625", "width 0.25", "width 1"),
    ),
    _Finding(
        family="scaling",
        title="Finite samples matter little here, except where there are as few as features.",
        observe=laziness.finite_samples,
    ),
    _Finding(
        family="regression",
        title="Unequal targets leave D_LR above 0 at collapse, and by more than 0.074.",
        observe=richness.uneven_targets,
        labels=(regression.EQUAL, regression.UNEQUAL),
    ),
    _Finding(
        family="regression",
        title="D_LR can be near 0 while a good part of the feature variance is unused.",
        observe=richness.weak_directions,
        labels=(regression.EQUAL, regression.NO_DECAY),
    ),
    _Finding(
        family="poor",
        title="Rich on training samples need not be rich on test samples.",
        observe=richness.rich_is_not_good,
        labels=(poor.GOOD, poor.SHUFFLED, poor.CODED, poor.LITTLE),
    ),
    _Finding(
        family="ladder",
        title="On a ladder from elsewhere only weight change and the tangent kernel keep the order at every rung.",
        observe=laziness.rungs_of_digits,
    ),
    _Finding(
        family="ladder",
        title="On Fashion-MNIST D_LR of f − f₀ keeps the ladder's order, and D_LR of the head's own outputs does not.",
        observe=laziness.rungs_of_clothes,
        medium=True,
        in_part=True,
    ),
    _Finding(
        family="shuffled",
        title="With weight decay shuffled labels end as rich as true ones by D_LR, as in the paper; without it not.",
        observe=richness.decay_and_labels,
        labels=tuple(label + ending for ending in ("", shuffled.FREE) for label in (shuffled.CLEAN, shuffled.SHUFFLED)),
        medium=True,
    ),
)
