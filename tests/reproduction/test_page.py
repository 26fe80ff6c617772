"""The page and the docs of the reproduction."""

import json
import re

from phiscope.reproduction.claims import VERDICTS
from phiscope.reproduction.families import FAMILIES
from phiscope.reproduction.page import write_docs, write_page
from phiscope.reproduction.run import judge
from phiscope.reproduction.summary import RECORD_HEADS, summary_facts, verdict_counts


def test_the_page_is_one_file_without_requests(summaries, tmp_path):
    text = write_page(summaries, tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("<svg") == len(FAMILIES)
    assert not re.findall(r'(?:src|href)="(?!#|https://arxiv)', text)
    assert "<?xml" not in text
    for summary in summaries:
        for row in summary.claims:
            assert row.judgement.verdict in text
            assert row.sentence.replace("'", "&#39;") in text


def test_docs_are_the_same_when_written_again(summaries, tmp_path):
    summaries = [one for one in summaries if one.family.name in ("shuffled", "poor")]
    for folder in ("one", "two"):
        write_docs(summaries, tmp_path / folder)
    names = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(names) == 2 + len(summaries)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    facts = json.loads((tmp_path / "one" / "reproduction.json").read_text(encoding="utf-8"))
    assert facts == json.loads(json.dumps(summary_facts(summaries)))


def test_a_page_of_nothing_shows_every_claim_as_not_run(tmp_path):
    found = judge(out=tmp_path)
    assert tuple(verdict_counts(found)) == VERDICTS
    assert verdict_counts(found)["not run"] == sum(not claim.ours for f in FAMILIES.values() for claim in f.claims)
    assert "<svg" not in write_page(found, tmp_path / "page.html").read_text(encoding="utf-8")


def test_medium_stands_beside_small_and_says_where_it_was_not_run(summaries, medium, tmp_path):
    pair = (
        [one for one in summaries if one.family.name == "shuffled"],
        [one for one in medium if one.family.name == "shuffled"],
    )
    page = write_page(pair[0], tmp_path / "page.html", medium=pair[1]).read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    for row in (*pair[0][0].claims, *pair[1][0].claims):
        assert row.judgement.ours in page
    write_docs(*pair[:1], tmp_path / "docs", medium=pair[1])
    text = (tmp_path / "docs" / "reproduction.md").read_text(encoding="utf-8")
    assert "verdict, medium" in text
    assert (tmp_path / "docs" / "images" / "reproduction-shuffled-medium.svg").exists()
    facts = json.loads((tmp_path / "docs" / "reproduction.json").read_text(encoding="utf-8"))
    assert facts["shuffled"]["medium"]["scale"] == "medium"
    absent = judge("shuffled", scale="medium", out=tmp_path)
    write_docs(*pair[:1], tmp_path / "other", medium=absent)
    text = (tmp_path / "other" / "reproduction.md").read_text(encoding="utf-8")
    assert "--scale medium` (not run; " in text
    assert not (tmp_path / "other" / "images" / "reproduction-shuffled-medium.svg").exists()


def test_the_regime_at_every_record_stands_in_a_table(summaries, medium, tmp_path):
    small, other = (next(one for one in part if one.family.name == "minimal") for part in (summaries, medium))
    write_docs([small], tmp_path, medium=[other])
    text = (tmp_path / "reproduction.md").read_text(encoding="utf-8")
    assert f"| {' | '.join(RECORD_HEADS)} |" in text
    for label in other.family.medium.records:
        assert sum(row[0] == label for row in other.records) == len(other.results.outcomes(label)[0].points)
