"""The reproduction in a terminal and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from phiscope.reproduction.discoveries import FoundOut
from phiscope.reproduction.summary import FamilySummary, verdict_counts

WIDTH = 110
"""Terminal text is wrapped at this many columns."""


def terminal_text(summaries: Sequence[FamilySummary]) -> str:
    """Every family's claims, paper against ours, one block a claim, and the count of verdicts."""
    blocks = [_family_block(summary) for summary in summaries]
    return "\n\n".join([*blocks, counted_text(summaries)])


def counted_text(summaries: Sequence[FamilySummary]) -> str:
    """The count of verdicts as one sentence."""
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(summaries).items() if count)
    own = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(summaries, ours=True).items() if count)
    return f"The paper's claims: {told or 'none'}." + (f" Claims of our own: {own}." if own else "")


def _family_block(summary: FamilySummary) -> str:
    family = summary.family
    seconds = f"{summary.seconds / 60:.1f} core minutes"
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


def markdown_page(summaries: Sequence[FamilySummary], findings: Iterable[FoundOut], *, pictures: str) -> str:
    """The page ``docs/evidence/reproduction.md``.

    Args:
        summaries: of all families.
        findings: numbered.
        pictures: folder of the families' pictures as the page sees it.
    """
    parts = [_HEAD, conditions_text(summaries), "", counted_text(summaries), "", _overview(summaries)]
    parts += ["## What we learned that the paper does not say", ""]
    for finding in findings:
        parts += [f"{finding.number}. **{finding.title}** {finding.text} (`{finding.command}`)", ""]
    for summary in summaries:
        parts += [_family_part(summary, pictures), ""]
    return "\n".join(parts).rstrip() + "\n"


_HEAD = """# The paper, reproduced

This page is made by `phiscope reproduce --docs docs/evidence`; do not edit it. It sets claims of
[arXiv:2410.04264](https://arxiv.org/abs/2410.04264) beside what this software measures. The paper's figures are those
of its v3, read from notes of a third party and not checked against it. At small scale (two CPU cores, small networks
and pictures) equal figures cannot be asked for, so a verdict is about size and direction:

- **reproduced**: every seed agrees, and where the paper gives figures the effect is at least half of the paper's as a
  ratio on a logarithmic scale;
- **direction only**: the right order, but smaller or not clear in every seed;
- **not reproduced**: the other way round, or absent. Such a claim stays in the table, with the reason.

Figures are mean ± standard deviation over three seeds, measured on training samples unless a heading says otherwise, at
rank tolerance 1e-4. "Corrected" is corrected for the finite number of samples. Thresholds are named constants in
`phiscope.reproduction.claims`.
"""


def _overview(summaries: Sequence[FamilySummary]) -> str:
    lines = ["| | family | reproduced | direction only | not reproduced | not run | core minutes |"]
    lines.append("|---|---|---|---|---|---|---|")
    for summary in summaries:
        counted = [row.judgement.verdict for row in summary.claims]
        cells = [
            str(counted.count(verdict)) for verdict in ("reproduced", "direction only", "not reproduced", "not run")
        ]
        name = f"[{summary.family.title}](#{_anchor(_heading(summary))})"
        lines.append(f"| {summary.family.letter} | {name} | {' | '.join(cells)} | {summary.seconds / 60:.1f} |")
    return "\n".join([*lines, ""])


def _heading(summary: FamilySummary) -> str:
    return f"{summary.family.letter}. {summary.family.title}"


def _anchor(heading: str) -> str:
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _family_part(summary: FamilySummary, pictures: str) -> str:
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
    lines += ["| claim | paper | ours | verdict | why |", "|---|---|---|---|---|"]
    for row in summary.claims:
        found = row.judgement
        sentence = row.sentence + (" *(our own claim)*" * row.is_ours)
        cells = (sentence, row.paper, found.ours, f"**{found.verdict}**", found.why)
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    lines += ["", f"| | {' | '.join(_cell(head) for head in summary.heads)} |", "|---" * (len(summary.heads) + 1) + "|"]
    lines += [f"| {_cell(label)} | {' | '.join(_cell(cell) for cell in cells)} |" for label, cells in summary.rows]
    if summary.n_runs:
        lines += ["", f"![{family.title}: numbers through training]({pictures}/reproduction-{family.name}.svg)"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
