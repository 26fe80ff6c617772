"""Families judged: tables of conditions and of claims as plain data, from which terminal, page and docs are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from phiscope.reproduction.claims import VERDICTS, Judgement, spread_text
from phiscope.reproduction.family import SEEDS, Family, Results, Scale
from phiscope.reproduction.outcome import PR_PER_RANK, Outcome, Point

_PERCENT = ("accuracy",)


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One claim with its judgement.

    Attributes:
        sentence: what is claimed.
        paper: the paper's figures or words.
        judgement: ours.
        is_ours: the claim is phiscope's own.
    """

    sentence: str
    paper: str
    judgement: Judgement
    is_ours: bool


SEEDS_HEAD = "seeds"
"""Heading of the column that says how many seeds a row's figures are of."""

RECORD_HEADS = ("condition", "epoch", "train", "test", "k90", "U", "PR / r", "cliff", "D_LR, train", "D_LR, test")
"""Headings of the table of records."""

LAYER_HEADS = (
    "condition", "layer", "features", "D_LR before training", "D_LR", "D_LR centered", "U", "PR / r", "NC1",
    "readout R²",
)  # fmt: skip
"""Headings of the table of layers."""

_LAYER_NUMBERS = (
    "dynamical_low_rank",
    "dynamical_low_rank_centered",
    "used_variance",
    PR_PER_RANK,
    "nc1",
    "readout_r2",
)

_RECORD_NUMBERS = (
    ("k90", "train"),
    ("used_variance", "train"),
    (PR_PER_RANK, "train"),
    ("gap_centered", "train"),
    ("dynamical_low_rank", "train"),
    ("dynamical_low_rank", "test"),
)


@dataclass(frozen=True, kw_only=True)
class PairedClaim:
    """One claim at small and at medium scale.

    Attributes:
        sentence: what is claimed.
        paper: the paper's figures or words.
        is_ours: the claim is phiscope's own.
        small: our judgement; None where the claim is made at medium scale only.
        medium: the same at medium scale.
    """

    sentence: str
    paper: str
    is_ours: bool
    small: Judgement | None
    medium: Judgement | None


@dataclass(frozen=True, kw_only=True)
class FamilySummary:
    """What is shown of one family.

    Attributes:
        family: which one.
        scale: of which conditions.
        seeds: trained with these.
        claims: judged, in the family's order.
        heads: headings of the table of conditions, without the first.
        rows: a label and one text for each heading.
        values: of each condition, what its texts were made of: by heading, one value a seed, None where there is none.
        n_runs: trainings that are there.
        n_missing: trainings that are not.
        seconds: all trainings together, on one core each.
        records: the regime at every record of those conditions that show it, a row each under `RECORD_HEADS`.
        layers: of those conditions that keep layers, a row each under `LAYER_HEADS`, in the order of the forward pass.
        results: behind all this.
    """

    family: Family
    scale: Scale
    seeds: tuple[int, ...]
    claims: tuple[ClaimRow, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    values: Mapping[str, Mapping[str, list[float | None]]]
    n_runs: int
    n_missing: int
    seconds: float
    records: tuple[tuple[str, ...], ...]
    layers: tuple[tuple[str, ...], ...]
    results: Results

    @property
    def paper_head(self) -> str:
        """What the figures beside ours are called: where all claims are our own, none of them is the paper's."""
        return "expected" if all(row.is_ours for row in self.claims) else "paper"


def summarize(
    family: Family, outcomes: Mapping[str, Outcome], *, scale: Scale, seeds: Sequence[int] = SEEDS
) -> FamilySummary:
    """Judge every claim and fill the table.

    Args:
        family: which one.
        outcomes: by `Setup.key`.
        scale: "small", "medium" or "full".
        seeds: that count.
    """
    results = Results(family, outcomes, scale=scale, seeds=tuple(seeds))
    claims = tuple(
        ClaimRow(sentence=claim.sentence, paper=claim.paper, judgement=claim.judged(results), is_ours=claim.ours)
        for claim in family.claims_at(scale)
    )
    wanted = {setup.key for setup in family.setups(scale, seeds)}
    return FamilySummary(
        family=family,
        scale=scale,
        seeds=tuple(seeds),
        claims=claims,
        heads=(*(column.title for column in family.columns_at(scale)), SEEDS_HEAD),
        rows=tuple((condition.label, _cells(family, results, condition.label)) for condition in results.conditions),
        values={condition.label: _values(family, results, condition.label) for condition in results.conditions},
        n_runs=len(wanted & set(outcomes)),
        n_missing=len(wanted - set(outcomes)),
        seconds=sum(outcomes[key].seconds for key in wanted & set(outcomes)),
        records=_records(results),
        layers=_layers(results),
        results=results,
    )


def _cells(family: Family, results: Results, label: str) -> tuple[str, ...]:
    cells = (
        spread_text(results.values(label, column.name, column.split), percent=column.name.endswith(_PERCENT))
        for column in family.columns_at(results.scale)
    )
    return (*cells, str(sum(outcome is not None for outcome in results.outcomes(label))))


def _values(family: Family, results: Results, label: str) -> dict[str, list[float | None]]:
    """What the cells were made of: one value a seed, None where it is not there."""
    found = {
        column.title: results.values(label, column.name, column.split).tolist()
        for column in family.columns_at(results.scale)
    }
    return {
        title: [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
        for title, values in found.items()
    }


def verdict_counts(summaries: Iterable[FamilySummary], *, ours: bool = False) -> dict[str, int]:
    """How many of the paper's claims (or of phiscope's own) got which verdict."""
    counted: dict[str, int] = dict.fromkeys(VERDICTS, 0)
    for summary in summaries:
        for row in summary.claims:
            counted[row.judgement.verdict] += row.is_ours == ours
    return counted


def scoreboard(*scales: Sequence[FamilySummary]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """All verdicts, scales side by side: headings, and a row for each verdict and their sum.

    Args:
        scales: the families of one scale each; one without families has no column.
    """
    columns = {
        f"{what}, {summaries[0].scale}": verdict_counts(summaries, ours=ours)
        for summaries in scales
        for what, ours in (("the paper's claims", False), ("our own", True))
        if summaries
    }
    rows = [(verdict, *(str(counts[verdict]) for counts in columns.values())) for verdict in VERDICTS]
    total = ("claims in all", *(str(sum(counts.values())) for counts in columns.values()))
    return ("verdict", *columns), (*rows, total)


def paired(small: FamilySummary, medium: FamilySummary) -> tuple[PairedClaim, ...]:
    """The claims of both scales, those of one sentence beside each other, in the small scale's order first."""
    by_sentence = {row.sentence: row for row in (*medium.claims, *small.claims)}
    judged = [{row.sentence: row.judgement for row in summary.claims} for summary in (small, medium)]
    order = dict.fromkeys(row.sentence for row in (*small.claims, *medium.claims))
    return tuple(
        PairedClaim(
            sentence=sentence,
            paper=by_sentence[sentence].paper,
            is_ours=by_sentence[sentence].is_ours,
            small=judged[0].get(sentence),
            medium=judged[1].get(sentence),
        )
        for sentence in order
    )


def _records(results: Results) -> tuple[tuple[str, ...], ...]:
    medium = results.family.medium
    labels = medium.records if results.scale == "medium" and medium is not None else ()
    rows = []
    for label in labels:
        done = [outcome for outcome in results.outcomes(label) if outcome is not None and outcome.points]
        for points in zip(*(outcome.points for outcome in done), strict=False):
            rows.append((label, f"{points[0].epoch:.2g}", *_words(points), *_means(points)))
    return tuple(rows)


def _layers(results: Results) -> tuple[tuple[str, ...], ...]:
    rows = []
    for condition in results.conditions:
        done = [one for one in results.outcomes(condition.label) if one is not None and one.status == "finished"]
        ends = [one.last.layers for one in done if one.last.layers]
        starts = [one.points[0].layers for one in done if one.last.layers]
        for name in ends[0] if ends else ():
            before = _spread([start[name] for start in starts], "dynamical_low_rank")
            after = [_spread([end[name] for end in ends], number) for number in _LAYER_NUMBERS]
            rows.append((condition.label, name, f"{ends[0][name]['n_features']:g}", before, *after))
    return tuple(rows)


def _spread(layers: Sequence[Mapping[str, float]], number: str) -> str:
    if number == PR_PER_RANK:
        pairs = [(one.get("participation_ratio_centered"), one.get("output_rank")) for one in layers]
        return spread_text(np.array([above / below if above and below else np.nan for above, below in pairs]))
    return spread_text(np.array([one.get(number, np.nan) for one in layers]))


def _words(points: Sequence[Point]) -> list[str]:
    """The regime of every seed, for each split, once where they agree."""
    told = []
    for split in ("train", "test"):
        words = [point.regimes.get(split, "–") for point in points]
        told.append(words[0] if len(set(words)) == 1 else ", ".join(words))
    return told


def _means(points: Sequence[Point]) -> list[str]:
    values = [[point.value(name, split) for point in points] for name, split in _RECORD_NUMBERS]
    return ["–" if None in row else f"{np.mean(np.array(row, dtype=np.float64)):.3g}" for row in values]


def summary_facts(summaries: Iterable[FamilySummary]) -> dict[str, Any]:
    """The summaries as text and numbers for a small JSON file."""
    return {
        summary.family.name: {
            "scale": summary.scale,
            "seeds": list(summary.seeds),
            "trainings": summary.n_runs,
            "missing": summary.n_missing,
            "core_seconds": round(summary.seconds),
            "claims": [
                {"sentence": row.sentence, "paper": row.paper, "ours": row.is_ours, **asdict(row.judgement)}
                for row in summary.claims
            ],
            "conditions": {label: dict(zip(summary.heads, cells, strict=True)) for label, cells in summary.rows},
            "values": summary.values,
            **(
                {"layers": [dict(zip(LAYER_HEADS, row, strict=True)) for row in summary.layers]}
                if summary.layers
                else {}
            ),
        }
        for summary in summaries
    }
