"""What is printed and written of the families."""

import re
from dataclasses import replace

import pytest

from phiscope.reproduction.claims import VERDICTS
from phiscope.reproduction.discoveries.numbered import findings
from phiscope.reproduction.families import FAMILIES
from phiscope.reproduction.summary import scoreboard, verdict_counts
from phiscope.reproduction.text import markdown_page, medium_text, terminal_text


def test_the_terminal_shows_every_claim_beside_the_papers_figures(summaries):
    text = " ".join(terminal_text(summaries).split())
    for summary in summaries:
        for row in summary.claims:
            assert " ".join(row.sentence.split()) in text
            assert " ".join(row.paper.split()) in text
    assert max(map(len, terminal_text(summaries).splitlines())) <= 140


@pytest.mark.parametrize("beside", [False, True], ids=["small", "medium beside"])
def test_markdown_tables_are_whole(summaries, medium, beside):
    page = markdown_page(summaries, findings(summaries), pictures="images", medium=medium if beside else ())
    tables = re.findall(r"(?:^\|.*\n)+", page, re.M)
    shown = [*summaries, *(medium if beside else ())]
    # Scoreboard, overview, claims; numbers of each family and scale, records of one, layers of one.
    wanted = 2 + len(FAMILIES) + len(shown) + beside + sum(bool(one.layers) for one in shown)
    assert len(tables) == wanted + sum(bool(one.rows) for one in findings(summaries))
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    anchors = re.findall(r"\]\(#([^)]+)\)", page)
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in re.findall(r"^## .*", page, re.M)
    }
    assert set(anchors) <= headings
    assert not re.search(r"\bnan\b", page)


def test_the_scoreboard_counts_every_claim_of_both_scales(summaries, medium):
    heads, rows = scoreboard(summaries, medium)
    assert heads == (
        "verdict",
        "the paper's claims, small",
        "our own, small",
        "the paper's claims, medium",
        "our own, medium",
    )
    assert [row[0] for row in rows] == [*VERDICTS, "claims in all"]
    for column, (part, ours) in enumerate(
        ((summaries, False), (summaries, True), (medium, False), (medium, True)), start=1
    ):
        counts = verdict_counts(part, ours=ours)
        assert [int(row[column]) for row in rows] == [*counts.values(), sum(counts.values())]
    assert len(scoreboard(summaries, ())[0]) == 3


def test_what_is_missing_at_medium_scale_is_named_by_family(medium):
    short = [replace(one, n_runs=0, n_missing=84) if one.family.letter == "g" else one for one in medium]
    short = [replace(one, n_missing=2) if one.family.letter == "c" else one for one in short]
    told = medium_text(short)
    assert "run in full: a, b, e, f, i, j, k, l; in part (trainings that are missing): c (2); not run: g." in told
