"""The reproduction in a terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from phiscope.reproduction.claims import VERDICTS, Judgement
from phiscope.reproduction.discoveries.numbered import FoundOut
from phiscope.reproduction.summary import (
    LAYER_HEADS,
    RECORD_HEADS,
    FamilySummary,
    paired,
    scoreboard,
    verdict_counts,
)

WIDTH = 110
"""Terminal text is wrapped at this many columns."""


def terminal_text(summaries: Sequence[FamilySummary]) -> str:
    """Every family's claims, paper against ours, one block a claim, and the count of verdicts."""
    blocks = [_family_block(summary) for summary in summaries]
    return "\n\n".join([*blocks, textwrap.fill(counted_text(summaries), WIDTH)])


def counted_text(summaries: Sequence[FamilySummary]) -> str:
    """The count of verdicts as one sentence."""
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(summaries).items() if count)
    own = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(summaries, ours=True).items() if count)
    return f"The paper's claims: {told or 'none'}." + (f" Claims of our own: {own}." if own else "")


def _family_block(summary: FamilySummary) -> str:
    family = summary.family
    seconds = f"{summary.seconds / 60:.1f} minutes"
    lines = [f"{family.letter}  {family.name}: {family.title}"]
    lines.append(f"   {summary.n_runs} trainings, {seconds}" + _missing(summary))
    for row in summary.claims:
        lines.append(f"   {row.judgement.verdict.upper():<15} {row.sentence}" + (" (our own claim)" * row.is_ours))
        for title, text in (("paper", row.paper), ("ours", row.judgement.ours), ("why", row.judgement.why)):
            lines += textwrap.wrap(
                text, WIDTH, initial_indent=f"{'':19}{title:<6} ", subsequent_indent=" " * 26, break_long_words=False
            )
    return "\n".join(lines)


def _missing(summary: FamilySummary) -> str:
    return f", {summary.n_missing} not run" if summary.n_missing else ""


def conditions_text(summaries: Sequence[FamilySummary]) -> str:
    """Where and with which versions the trainings ran, one sentence."""
    done = [
        outcome
        for summary in summaries
        for condition in summary.results.conditions
        for outcome in summary.results.outcomes(condition.label)
        if outcome is not None
    ]
    if not done:
        return "Nothing has been trained yet."
    versions = sorted({", ".join(f"{name} {found}" for name, found in one.versions.items()) for one in done})
    devices = sorted({one.device for one in done})
    last = max(one.day for one in done) or "a day that was not noted"
    return f"Trained on {' and '.join(devices)} with {'; '.join(versions)}; the last training ended on {last}."


def markdown_page(
    summaries: Sequence[FamilySummary],
    findings: Iterable[FoundOut],
    *,
    pictures: str,
    medium: Sequence[FamilySummary] = (),
) -> str:
    """The page ``docs/evidence/reproduction.md``.

    Args:
        summaries: of all families.
        findings: numbered.
        pictures: folder of the families' pictures as the page sees it.
        medium: of the families that have a medium scale, shown beside the others.
    """
    beside = {summary.family.name: summary for summary in medium}
    parts = [_HEAD, conditions_text([*summaries, *medium]), *_without_full(summaries), "", "## Scoreboard", ""]
    parts += [*_table(*scoreboard(summaries, medium)), ""]
    if medium:
        parts += [medium_text(medium), ""]
    parts.append(_overview(summaries, beside))
    parts += ["## What we learned that the paper does not say", ""]
    for finding in findings:
        parts += _finding_part(finding)
    for summary in summaries:
        parts += [_family_part(summary, pictures, beside.get(summary.family.name)), ""]
    return "\n".join(parts).rstrip() + "\n"


def _finding_part(finding: FoundOut) -> list[str]:
    """The sentence, then its figures, then what explains them."""
    table = [*_table(finding.heads, finding.rows), ""] if finding.rows else []
    heading = f"### {finding.number}. {finding.title.rstrip('.')}"
    return [heading, "", *table, finding.text, "", f"`{finding.command}`", ""]


def medium_text(medium: Sequence[FamilySummary]) -> str:
    """What was run at medium scale and what is planned, and the count of its verdicts."""
    # Families share trainings, which count once.
    wanted = {setup.key for one in medium for setup in one.family.setups(one.scale, one.seeds)}
    found = {
        outcome.setup.key: outcome.seconds
        for one in medium
        for condition in one.results.conditions
        for outcome in one.results.outcomes(condition.label)
        if outcome is not None
    }
    runs, missing, hours = len(found), len(wanted - set(found)), sum(found.values()) / 3600
    planned = sum(one.family.medium.core_minutes for one in medium if one.family.medium is not None) / 60
    done = "not run" if not runs else f"{runs} trainings in {hours:.1f} hours"
    done += f", {missing} not run" if runs and missing else ""
    counted = f" {counted_text(medium)}" if runs else ""
    whole = [one.family.letter for one in medium if not one.n_missing]
    part = [f"{one.family.letter} ({one.n_missing})" for one in medium if one.n_runs and one.n_missing]
    none = [one.family.letter for one in medium if not one.n_runs]
    listed = (("run in full", whole), ("in part (trainings that are missing)", part), ("not run", none))
    told = "; ".join(f"{what}: {', '.join(letters)}" for what, letters in listed if letters)
    return (
        f"Medium scale (Fashion-MNIST, {planned:.1f} core hours planned on a quiet machine): {done}. Families {told}. "
        f"A claim is judged when all its conditions have every seed.{counted}"
    )


def _without_full(summaries: Sequence[FamilySummary]) -> list[str]:
    if any(summary.scale == "full" for summary in summaries):
        return []
    return [
        "",
        "Not run: full scale, the paper's own data sets at full width, which takes a GPU and their files "
        "(`phiscope reproduce --scale full --data FOLDER`).",
    ]


_HEAD = """# The paper, reproduced

This page is made by `phiscope reproduce --docs docs/evidence`; do not edit it. It sets claims of
[arXiv:2410.04264](https://arxiv.org/abs/2410.04264) beside what this software measures. The paper's figures are those
of its v3, read from notes of a third party and not checked against it. At small scale (two CPU cores, small networks
and pictures) equal figures cannot be asked for, so a verdict is about size and direction:

- **reproduced**: every seed agrees, and where the paper gives figures the effect is at least half of the paper's as a
  ratio on a logarithmic scale;
- **direction only**: the right order, but smaller or not clear in every seed;
- **not reproduced**: the other way round, or absent. Such a claim stays in the table, with the reason;
- **premise not met**: what the claim presupposes did not happen (nothing was learned, so nothing can grok;
  features are constant, so that they have no number to compare);
- **not run**: the trainings are defined and nobody has run them.

Medium scale is Fashion-MNIST, 1,000 to 6,000 pictures (each family says how many), networks of half or quarter width:
`phiscope reproduce --scale medium`. Figures are mean ± standard deviation over as many seeds as the last column says,
measured on training samples unless a heading says otherwise, at rank tolerance 1e-4.
Thresholds are named constants in `phiscope.reproduction.claims`. Minutes are clock time with one core for each
training, on a machine that did other work beside. Families j, k and l are not of this paper; all their claims count as
our own.

In the tables: **D_LR** is the literal one, **centered** the centered one, **corrected** the one corrected for the
finite number of samples. **gap at C** is ρ_C / ρ_(C+1) of the raw spectrum, **cliff** ρ_r / ρ_(r+1) of the centered
one; **Pihat(C)** and **Pihat(r)** are the share of the outputs that so many leading eigenfunctions hold, raw and
centered; **D_eff** and **PR** are centered; **D_LR, last fifth** is by how much D_LR changed in the last fifth of the
steps. "width 0.25" is a network of a quarter of the channels or units, "initialization 0.41" one whose initial weights
have that many times the standard deviation of He's.
"""


def _overview(summaries: Sequence[FamilySummary], beside: Mapping[str, FamilySummary]) -> str:
    heads = ["", "family", *VERDICTS, "minutes", *(["medium scale"] if beside else [])]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for summary in summaries:
        counted = [row.judgement.verdict for row in summary.claims]
        cells = [str(counted.count(verdict)) for verdict in VERDICTS]
        name = f"[{summary.family.title}](#{_anchor(_heading(summary))})"
        other = beside.get(summary.family.name)
        last = [] if not beside else [verdicts_text(other)]
        row = [summary.family.letter, name, *cells, f"{summary.seconds / 60:.1f}", *last]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def verdicts_text(summary: FamilySummary | None) -> str:
    """The verdicts of one family in a few words; "–" where it has no such scale."""
    if summary is None:
        return "–"
    if not summary.n_runs:
        return "not run"
    counted = [row.judgement.verdict for row in summary.claims]
    return ", ".join(f"{counted.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in counted)


def _heading(summary: FamilySummary) -> str:
    return f"{summary.family.letter}. {summary.family.title}"


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _family_part(summary: FamilySummary, pictures: str, medium: FamilySummary | None) -> str:
    family = summary.family
    lines = [
        f"## {_heading(summary)}",
        "",
        f"Paper: {family.paper}",
        "",
        f"Here: {family.setting_at(summary.scale)}",
        "",
    ]
    lines += [f"`phiscope reproduce {family.name}` ({summary.n_runs} trainings{_missing(summary)})", ""]
    lines += _claims_table(summary) if medium is None else _paired_table(summary, medium)
    lines += ["", *_numbers_table(summary), *_layers_part(summary)]
    if summary.n_runs:
        lines += ["", f"![{family.title}: numbers through training]({pictures}/reproduction-{family.name}.svg)"]
    return "\n".join([*lines, *([] if medium is None else _medium_part(medium, pictures))])


def _medium_part(medium: FamilySummary, pictures: str) -> list[str]:
    family = medium.family
    planned = 0.0 if family.medium is None else family.medium.core_minutes
    took = (
        f"{medium.n_runs} trainings{_missing(medium)}, {medium.seconds / 60:.0f} minutes"
        if medium.n_runs
        else "not run"
    )
    lines = ["", f"**Medium scale.** {family.setting_at('medium')}", ""]
    lines += [f"`phiscope reproduce {family.name} --scale medium` ({took}; {planned:.0f} core minutes planned)"]
    if not medium.n_runs:
        return lines
    lines += ["", *_numbers_table(medium)]
    if medium.records:
        told = "means over the seeds that are there; words of all of them where they differ"
        lines += ["", f"Word and numbers at each record ({told}):", ""]
        lines += _table(RECORD_HEADS, medium.records)
    lines += _layers_part(medium)
    name = f"{pictures}/reproduction-{family.name}-medium.svg"
    return [*lines, "", f"![{family.title}: numbers through training, medium scale]({name})"]


def _layers_part(summary: FamilySummary) -> list[str]:
    if not summary.layers:
        return []
    return ["", "Layers against the network's outputs, maps pooled:", "", *_table(LAYER_HEADS, summary.layers)]


def _claims_table(summary: FamilySummary) -> list[str]:
    rows = [
        (_said(row.sentence, row.is_ours), row.paper, row.judgement.ours, _verdict(row.judgement), row.judgement.why)
        for row in summary.claims
    ]
    return _table(("claim", summary.paper_head, "ours", "verdict", "why"), rows)


def _paired_table(small: FamilySummary, medium: FamilySummary) -> list[str]:
    rows = [
        (_said(row.sentence, row.is_ours), row.paper, *_shown(row.small), *_shown(row.medium))
        for row in paired(small, medium)
    ]
    heads = ("claim", small.paper_head, "ours, small", "verdict, small", "ours, medium", "verdict, medium")
    return _table(heads, rows)


def _shown(judgement: Judgement | None) -> tuple[str, str]:
    """Figures and verdict with its reason; a claim that a scale does not make has neither."""
    if judgement is None:
        return "–", "–"
    reason = "" if judgement.verdict == "not run" else f": {judgement.why}"
    return judgement.ours, f"{_verdict(judgement)}{reason}"


def _verdict(judgement: Judgement) -> str:
    return f"**{judgement.verdict}**"


def _said(sentence: str, is_ours: bool) -> str:
    return sentence + " *(our own claim)*" * is_ours


def _numbers_table(summary: FamilySummary) -> list[str]:
    rows = [(label, *cells) for label, cells in summary.rows]
    return _table(("", *summary.heads), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(_cell, heads))} |", "|---" * len(heads) + "|"]
    return [*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
