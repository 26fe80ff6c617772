"""Families judged: tables of conditions and of claims as plain data, from which terminal, page and docs are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from phiscope.reproduction.claims import Judgement, spread_text
from phiscope.reproduction.family import SEEDS, Family, Results, Scale
from phiscope.reproduction.outcome import Outcome

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
        n_runs: trainings that are there.
        n_missing: trainings that are not.
        seconds: all trainings together, on one core each.
        results: behind all this.
    """

    family: Family
    scale: Scale
    seeds: tuple[int, ...]
    claims: tuple[ClaimRow, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    n_runs: int
    n_missing: int
    seconds: float
    results: Results


def summarize(
    family: Family, outcomes: Mapping[str, Outcome], *, scale: Scale, seeds: Sequence[int] = SEEDS
) -> FamilySummary:
    """Judge every claim and fill the table.

    Args:
        family: which one.
        outcomes: by `Setup.key`.
        scale: "small" or "full".
        seeds: that count.
    """
    results = Results(family, outcomes, scale=scale, seeds=tuple(seeds))
    claims = tuple(
        ClaimRow(sentence=claim.sentence, paper=claim.paper, judgement=claim.judged(results), is_ours=claim.ours)
        for claim in family.claims
    )
    wanted = {setup.key for setup in family.setups(scale, seeds)}
    return FamilySummary(
        family=family,
        scale=scale,
        seeds=tuple(seeds),
        claims=claims,
        heads=tuple(column.title for column in family.columns),
        rows=tuple((condition.label, _cells(family, results, condition.label)) for condition in results.conditions),
        n_runs=len(wanted & set(outcomes)),
        n_missing=len(wanted - set(outcomes)),
        seconds=sum(outcomes[key].seconds for key in wanted & set(outcomes)),
        results=results,
    )


def _cells(family: Family, results: Results, label: str) -> tuple[str, ...]:
    return tuple(
        spread_text(results.values(label, column.name, column.split), percent=column.name.endswith(_PERCENT))
        for column in family.columns
    )


def verdict_counts(summaries: Iterable[FamilySummary], *, ours: bool = False) -> dict[str, int]:
    """How many of the paper's claims (or of phiscope's own) got which verdict."""
    counted = {"reproduced": 0, "direction only": 0, "not reproduced": 0, "not run": 0}
    for summary in summaries:
        for row in summary.claims:
            counted[row.judgement.verdict] += row.is_ours == ours
    return counted


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
        }
        for summary in summaries
    }
