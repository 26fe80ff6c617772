"""The page and the docs of the reproduction."""

import json
import re

from phiscope.reproduction.families import FAMILIES
from phiscope.reproduction.page import write_docs, write_page
from phiscope.reproduction.run import judge
from phiscope.reproduction.summary import summary_facts, verdict_counts


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
    assert set(verdict_counts(found)) == {"reproduced", "direction only", "not reproduced", "not run"}
    assert verdict_counts(found)["not run"] == sum(not claim.ours for f in FAMILIES.values() for claim in f.claims)
    assert "<svg" not in write_page(found, tmp_path / "page.html").read_text(encoding="utf-8")
