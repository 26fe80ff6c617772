"""What is printed and written of the families."""

import re

import pytest

from phiscope.reproduction.discoveries.numbered import findings
from phiscope.reproduction.families import FAMILIES
from phiscope.reproduction.text import markdown_page, terminal_text


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
    assert "nan" not in page
